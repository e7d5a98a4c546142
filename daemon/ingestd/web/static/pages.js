// Progressive enhancement: local times, range selection, dialogs for form results, and live regions. Every page works
// without it. A refresh never changes focused elements, selected text, or rows under the pointer. Check boxes are
// cleared only for batches that were queued.
"use strict";

// Milliseconds
const REFRESH_INTERVAL = 2000;
const MAX_REFRESH_INTERVAL = 30000;
const TIMEOUT = 10000;

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Times

function localTime(time) {
  const when = new Date(time.dateTime);
  const two = (number) => String(number).padStart(2, "0");
  const day = [when.getFullYear(), two(when.getMonth() + 1), two(when.getDate())].join("-");
  time.textContent = `${day} ${[when.getHours(), when.getMinutes(), when.getSeconds()].map(two).join(":")}`;
}

const localTimes = (root) => all("time", root).forEach(localTime);

// Selection

const checkboxes = () => all("tbody input[name=sync_id]");
let lastSelected = null;

function onSelect(event) {
  const box = event.target.closest("tbody input[name=sync_id]");
  if (!box) return;
  if (event.shiftKey && lastSelected && lastSelected.isConnected) selectRange(lastSelected, box);
  lastSelected = box;
  showSelection();
}

function selectRange(from, to) {
  const boxes = checkboxes();
  const [first, last] = [boxes.indexOf(from), boxes.indexOf(to)].sort((a, b) => a - b);
  for (const box of boxes.slice(first, last + 1)) box.checked = to.checked;
}

function showSelection() {
  const count = checkboxes().filter((box) => box.checked).length;
  for (const label of all("[data-selected]")) {
    label.hidden = count === 0;
    label.textContent = `${count} selected`;
  }
  for (const box of all("[data-tick-all]")) {
    box.checked = count > 0 && count === checkboxes().length;
    box.indeterminate = count > 0 && !box.checked;
  }
}

function onSelectAll(event) {
  for (const box of checkboxes()) box.checked = event.target.checked;
  showSelection();
}

// Dialogs: the result of a form is shown over the page, which keeps its state.

let dialog = null;

function openDialog(body) {
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.addEventListener("close", onDialogClosed);
    document.body.append(dialog);
  }
  dialog.replaceChildren(body);
  const heading = body.querySelector("h1");
  heading.id = "dialog-heading";
  heading.tabIndex = -1;
  dialog.setAttribute("aria-labelledby", heading.id);
  localTimes(dialog);
  if (!dialog.open) dialog.showModal();
  scheduleRefresh();
  // The focused element may have been replaced, and screen readers announce the new heading.
  heading.focus();
}

function onDialogClosed() {
  const queued = new Set(all("[data-queued]", dialog).map((row) => row.dataset.queued));
  for (const box of checkboxes()) if (queued.has(box.value)) box.checked = false;
  dialog.replaceChildren();
  showSelection();
  scheduleRefresh(0);
}

let isSubmitting = false;

async function onSubmit(event) {
  const form = event.target;
  if (!form.hasAttribute("data-dialog")) return;
  event.preventDefault();
  if (isSubmitting) return;
  const button = event.submitter;
  const address = button && button.hasAttribute("formaction") ? button.formAction : form.action;
  isSubmitting = true;
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(address, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    openDialog(page.querySelector("[data-dialog-body]") || errorFrom(page));
  } catch {
    openDialog(message("No response", "ingestd did not respond. The request may or may not have been carried out; repeating it is safe."));
  } finally {
    isSubmitting = false;
    form.removeAttribute("aria-busy");
  }
}

function errorFrom(page) {
  const sentence = all("main p", page).map((p) => p.textContent.trim()).filter((text) => text)[0];
  return message(page.querySelector("h1")?.textContent || "Refused", sentence || "");
}

function message(title, sentence) {
  const body = document.createElement("div");
  const parts = ["h1", "p", "button"].map((name) => document.createElement(name));
  [title, sentence, "Back"].forEach((text, i) => { parts[i].textContent = text; });
  parts[2].type = "button";
  parts[2].setAttribute("data-close", "");
  body.append(...parts);
  return body;
}

function onClick(event) {
  const closing = event.target.closest("[data-close]");
  if (closing && dialog && dialog.contains(closing)) {
    event.preventDefault();
    dialog.close();
  }
  const held = event.target.closest("[data-held]");
  if (held) release(held);
}

// Live regions

const pendingRows = new Map();

function isInUse(region) {
  const selection = document.getSelection();
  const isSelected = selection && !selection.isCollapsed && selection.containsNode(region, true);
  const isOpen = region.querySelector("details[open]") !== null;
  return isSelected || isOpen || (document.activeElement !== document.body && region.contains(document.activeElement));
}

// The user is pointing at the rows or has selected some: no row is added or removed meanwhile.
const isInteracting = (region) =>
  isInUse(region) || region.matches(":hover") || region.querySelector("input:checked") !== null;

function replace(element, fresh) {
  const isPointedAt = element.matches(":hover") && element.querySelector("a, button, summary") !== null;
  if (element.innerHTML !== fresh.innerHTML && !isInUse(element) && !isPointedAt) element.innerHTML = fresh.innerHTML;
}

function mergeRows(region, fresh) {
  const rows = new Map(all("tr[data-key]", fresh).map((row) => [row.dataset.key, row]));
  const present = all("tr[data-key]", region);
  for (const row of present) if (rows.has(row.dataset.key)) mergeCells(row, rows.get(row.dataset.key));
  const known = new Set(present.map((row) => row.dataset.key));
  const added = [...rows.keys()].filter((key) => !known.has(key)).length;
  const isSame = added === 0 && rows.size === present.length;
  if (isSame) hold(region, null, 0);
  else if (isInteracting(region)) hold(region, fresh, added);
  else updateRows(region, fresh);
}

function mergeCells(row, fresh) {
  const cells = all("[data-cell]", row);
  all("[data-cell]", fresh).forEach((cell, i) => {
    if (cells[i] && cells[i].innerHTML !== cell.innerHTML && !isInUse(cells[i])) cells[i].innerHTML = cell.innerHTML;
  });
}

// Rows that remain are moved, not recreated, so that their check boxes and open details keep their state.
function updateRows(region, fresh) {
  const present = new Map(all("tr[data-key]", region).map((row) => [row.dataset.key, row]));
  region.replaceChildren(...[...fresh.children].map((row) => present.get(row.dataset.key) || document.importNode(row, true)));
  hold(region, null, 0);
  showSelection();
}

function hold(region, fresh, added) {
  const name = region.dataset.live;
  pendingRows.set(name, fresh);
  for (const button of all(`[data-held="${name}"]`)) {
    button.hidden = !fresh;
    button.textContent = added ? `Show ${added} new` : "Show changes";
  }
}

function release(button) {
  const region = document.querySelector(`[data-live="${button.dataset.held}"]`);
  const fresh = pendingRows.get(button.dataset.held);
  if (!fresh) return;
  updateRows(region, fresh);
  region.closest("[tabindex]").focus();
}

// Refresh

let timer = null;
let running = null;
let interval = REFRESH_INTERVAL;
const control = document.getElementById("live-switch");

const shouldRefresh = () => document.body.dataset.address && control && control.checked && !document.hidden && !(dialog && dialog.open);

function scheduleRefresh(delay = interval) {
  clearTimeout(timer);
  // A running request would return a state from before the latest action.
  if (running) running.abort();
  if (shouldRefresh()) timer = setTimeout(refresh, delay);
}

async function refresh() {
  const request = (running = new AbortController());
  const { page, problem } = await readPage(AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT)]));
  if (request.signal.aborted) return;
  running = null;
  interval = page ? REFRESH_INTERVAL : Math.min(interval * 2, MAX_REFRESH_INTERVAL);
  showLiveState(problem);
  if (page && shouldRefresh()) updateRegions(page);
  scheduleRefresh();
}

async function readPage(signal) {
  try {
    const response = await fetch(document.body.dataset.address, { headers: { Accept: "text/html" }, redirect: "error", signal });
    if (response.ok) return { page: new DOMParser().parseFromString(await response.text(), "text/html"), problem: "" };
    return { problem: response.status === 401 ? "signed out" : `no data (${response.status})` };
  } catch {
    return { problem: "no response" };
  }
}

function updateRegions(page) {
  localTimes(page);
  for (const region of all("[data-live]")) {
    const fresh = page.querySelector(`[data-live="${region.dataset.live}"]`);
    if (!fresh) continue;
    if (region.hasAttribute("data-rows")) mergeRows(region, fresh);
    else replace(region, fresh);
  }
}

function showLiveState(text) {
  document.getElementById("live-state").textContent = text ? `(${text})` : "";
}

function isLiveRemembered() {
  try {
    return localStorage.getItem("ingestd.live") !== "off";
  } catch {
    return true;
  }
}

function onLiveSwitched() {
  try {
    localStorage.setItem("ingestd.live", control.checked ? "on" : "off");
  } catch { /* without storage the switch applies to this page only */ }
  interval = REFRESH_INTERVAL;
  scheduleRefresh(0);
}

// A notice is shown once, not again on reload.
if (new URLSearchParams(location.search).has("notice")) history.replaceState(null, "", document.body.dataset.address);
localTimes(document);
document.addEventListener("click", onSelect);
document.addEventListener("click", onClick);
document.addEventListener("submit", onSubmit);
for (const box of all("[data-tick-all]")) {
  box.hidden = false;
  box.addEventListener("change", onSelectAll);
}
showSelection();
if (control) {
  control.checked = isLiveRemembered();
  control.closest("label").hidden = false;
  control.addEventListener("change", onLiveSwitched);
  document.addEventListener("visibilitychange", () => scheduleRefresh(0));
  scheduleRefresh();
}
