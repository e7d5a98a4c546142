// Makes the pages live: times in the viewer's zone, ranges of ticks, dialogs, and marked regions that are read again.
// Everything works without it. It leaves alone what has the focus, selected text, and the rows under the hand; it
// ticks nothing by itself, and takes away only the ticks of what was queued.
"use strict";

const EVERY = 2000;
const PATIENCE = 10000;
const MOST_PAUSE = 30000;

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Times

function localTime(time) {
  const when = new Date(time.dateTime);
  const two = (number) => String(number).padStart(2, "0");
  const day = [when.getFullYear(), two(when.getMonth() + 1), two(when.getDate())].join("-");
  time.textContent = `${day} ${[when.getHours(), when.getMinutes(), when.getSeconds()].map(two).join(":")}`;
}

const localTimes = (root) => all("time", root).forEach(localTime);

// Ticks

const ticks = () => all("tbody input[name=sync_id]");
let lastTick = null;

function onTick(event) {
  const box = event.target.closest("tbody input[name=sync_id]");
  if (!box) return;
  if (event.shiftKey && lastTick && lastTick.isConnected) tickRange(lastTick, box);
  lastTick = box;
  tellTicked();
}

function tickRange(from, to) {
  const boxes = ticks();
  const [first, last] = [boxes.indexOf(from), boxes.indexOf(to)].sort((a, b) => a - b);
  for (const box of boxes.slice(first, last + 1)) box.checked = to.checked;
}

function tellTicked() {
  const count = ticks().filter((box) => box.checked).length;
  for (const told of all("[data-selected]")) {
    told.hidden = count === 0;
    told.textContent = `${count} selected`;
  }
  for (const box of all("[data-tick-all]")) {
    box.checked = count > 0 && count === ticks().length;
    box.indeterminate = count > 0 && !box.checked;
  }
}

function onTickAll(event) {
  for (const box of ticks()) box.checked = event.target.checked;
  tellTicked();
}

// Dialogs: what a form answers is shown over the page, which stays as it was left.

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
  soon();
  // What had the focus may be gone with what the dialog showed before; and whoever hears the page hears what is new.
  heading.focus();
}

function onDialogClosed() {
  const queued = new Set(all("[data-queued]", dialog).map((row) => row.dataset.queued));
  for (const box of ticks()) if (queued.has(box.value)) box.checked = false;
  dialog.replaceChildren();
  tellTicked();
  soon(0);
}

let isAsking = false;

async function onSubmit(event) {
  const form = event.target;
  if (!form.hasAttribute("data-dialog")) return;
  event.preventDefault();
  if (isAsking) return;
  const button = event.submitter;
  const address = button && button.hasAttribute("formaction") ? button.formAction : form.action;
  isAsking = true;
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    openDialog(page.querySelector("[data-dialog-body]") || refusalOf(page));
  } catch {
    openDialog(note("No answer", "ingestd did not answer. It may or may not have been done; asking again does no harm."));
  } finally {
    isAsking = false;
    form.removeAttribute("aria-busy");
  }
}

function refusalOf(page) {
  const sentence = all("main p", page).map((p) => p.textContent.trim()).filter((text) => text)[0];
  return note(page.querySelector("h1")?.textContent || "Refused", sentence || "");
}

function note(title, sentence) {
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

// Regions

const held = new Map();

function isInUse(region) {
  const selection = document.getSelection();
  const isSelected = selection && !selection.isCollapsed && selection.containsNode(region, true);
  const isOpen = region.querySelector("details[open]") !== null;
  return isSelected || isOpen || (document.activeElement !== document.body && region.contains(document.activeElement));
}

// A hand is on the rows of a table: none may come or go under it.
const isUnderHand = (region) =>
  isInUse(region) || region.matches(":hover") || region.querySelector("input:checked") !== null;

function replace(element, fresh) {
  const isAimedAt = element.matches(":hover") && element.querySelector("a, button, summary") !== null;
  if (element.innerHTML !== fresh.innerHTML && !isInUse(element) && !isAimedAt) element.innerHTML = fresh.innerHTML;
}

function mergeRows(region, fresh) {
  const rows = new Map(all("tr[data-key]", fresh).map((row) => [row.dataset.key, row]));
  const present = all("tr[data-key]", region);
  for (const row of present) if (rows.has(row.dataset.key)) mergeCells(row, rows.get(row.dataset.key));
  const known = new Set(present.map((row) => row.dataset.key));
  const added = [...rows.keys()].filter((key) => !known.has(key)).length;
  const isSame = added === 0 && rows.size === present.length;
  if (isSame) hold(region, null, 0);
  else if (isUnderHand(region)) hold(region, fresh, added);
  else arrange(region, fresh);
}

function mergeCells(row, fresh) {
  const cells = all("[data-cell]", row);
  all("[data-cell]", fresh).forEach((cell, i) => {
    if (cells[i] && cells[i].innerHTML !== cell.innerHTML && !isInUse(cells[i])) cells[i].innerHTML = cell.innerHTML;
  });
}

// Rows that stay are moved, not made anew: whatever somebody did to them is kept.
function arrange(region, fresh) {
  const present = new Map(all("tr[data-key]", region).map((row) => [row.dataset.key, row]));
  region.replaceChildren(...[...fresh.children].map((row) => present.get(row.dataset.key) || document.importNode(row, true)));
  hold(region, null, 0);
  tellTicked();
}

function hold(region, fresh, added) {
  const name = region.dataset.live;
  held.set(name, fresh);
  for (const button of all(`[data-held="${name}"]`)) {
    button.hidden = !fresh;
    button.textContent = added ? `Show ${added} new` : "Show as it is now";
  }
}

function release(button) {
  const region = document.querySelector(`[data-live="${button.dataset.held}"]`);
  const fresh = held.get(button.dataset.held);
  if (!fresh) return;
  arrange(region, fresh);
  region.closest("[tabindex]").focus();
}

// Reading again

let timer = null;
let reading = null;
let pause = EVERY;
const control = document.getElementById("live-switch");

const mayRead = () => document.body.dataset.address && control && control.checked && !document.hidden && !(dialog && dialog.open);

function soon(delay = pause) {
  clearTimeout(timer);
  // An answer under way tells of a time before whatever happened now; under a dialog, and unseen, none is wanted.
  if (reading) reading.abort();
  if (mayRead()) timer = setTimeout(readAgain, delay);
}

async function readAgain() {
  const mine = (reading = new AbortController());
  const { page, trouble } = await readPage(AbortSignal.any([mine.signal, AbortSignal.timeout(PATIENCE)]));
  if (mine.signal.aborted) return;
  reading = null;
  pause = page ? EVERY : Math.min(pause * 2, MOST_PAUSE);
  tellState(trouble);
  if (page && mayRead()) renew(page);
  soon();
}

async function readPage(signal) {
  try {
    const answer = await fetch(document.body.dataset.address, { headers: { Accept: "text/html" }, redirect: "error", signal });
    if (answer.ok) return { page: new DOMParser().parseFromString(await answer.text(), "text/html"), trouble: "" };
    return { trouble: answer.status === 401 ? "signed out" : `no data (${answer.status})` };
  } catch {
    return { trouble: "no answer" };
  }
}

function renew(page) {
  localTimes(page);
  for (const region of all("[data-live]")) {
    const fresh = page.querySelector(`[data-live="${region.dataset.live}"]`);
    if (!fresh) continue;
    if (region.hasAttribute("data-rows")) mergeRows(region, fresh);
    else replace(region, fresh);
  }
}

function tellState(text) {
  document.getElementById("live-state").textContent = text ? `(${text})` : "";
}

function remembered() {
  try {
    return localStorage.getItem("ingestd.live") !== "off";
  } catch {
    return true;
  }
}

function onSwitched() {
  try {
    localStorage.setItem("ingestd.live", control.checked ? "on" : "off");
  } catch { /* a browser that remembers nothing: the switch holds for this page */ }
  pause = EVERY;
  soon(0);
}

// Said once: whoever reloads the page is not told again.
if (new URLSearchParams(location.search).has("notice")) history.replaceState(null, "", document.body.dataset.address);
localTimes(document);
document.addEventListener("click", onTick);
document.addEventListener("click", onClick);
document.addEventListener("submit", onSubmit);
for (const box of all("[data-tick-all]")) {
  box.hidden = false;
  box.addEventListener("change", onTickAll);
}
tellTicked();
if (control) {
  control.checked = remembered();
  control.closest("label").hidden = false;
  control.addEventListener("change", onSwitched);
  document.addEventListener("visibilitychange", () => soon(0));
  soon();
}
