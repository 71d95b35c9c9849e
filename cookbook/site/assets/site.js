// What the page adds where a browser runs code. Nothing of an address or of
// a search is ever put into a page as markup: texts are text nodes.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const stored = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* nothing is kept */ } },
};
const make = (tag, props = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
};
const root = document.body.dataset.root;

// Light or dark.
$(".theme")?.addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  stored.set("theme", next);
});

// Copying. What was copied is said in the button itself.
const status = make("p", { className: "vh", role: "status" });
document.body.append(status);
async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  status.textContent = "Copied";
  if (!button) return;
  const before = (button.dataset.label ??= button.textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1200);
}
const copyFile = async (button) => {
  const answer = await fetch(button.dataset.copy);
  if (answer.ok) await copy(await answer.text(), button);
};
for (const code of $$(".cmd")) {
  const text = code.textContent;
  const button = make("button", { type: "button", textContent: "Copy" });
  button.addEventListener("click", () => copy(text, button));
  code.append(button);
}
const address = () => location.href;
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (button?.dataset.copy) copyFile(button);
  if (button?.dataset.do === "link") copy(address(), button);
  if (button?.dataset.do === "unfold") unfold(button);
});
function unfold(button) {
  const folds = $$("details.f");
  const open = !folds.every((fold) => fold.open);
  folds.forEach((fold) => { fold.open = open; });
  button.textContent = open ? "Fold all" : "Unfold all";
}

// The gutter: a click copies the link of its line.
function numberOf(line) {
  let steps = 0;
  for (let each = line; each; each = each.previousElementSibling, steps += 1) {
    if (each.hasAttribute("value")) return each.value + steps;
  }
  return line.parentElement.start + steps - 1;
}
document.addEventListener("click", (event) => {
  const line = event.target.closest?.(".code li");
  if (!line || event.clientX - line.getBoundingClientRect().left > 28) return;
  const at = line.id ? `#${line.id}` : line.closest("[data-at]").dataset.at + numberOf(line);
  if (line.id) location.hash = at;
  copy(new URL(at, location.href).href);
});

// A pitfall unfolds in its row: the part of its own page, put in here.
let wrongs;
async function unfoldPitfall(link) {
  const place = link.parentElement;
  const shown = $(".wrong", place);
  if (shown) {
    shown.hidden = !shown.hidden;
    link.setAttribute("aria-expanded", String(!shown.hidden));
    return;
  }
  wrongs ??= fetch(link.href).then((answer) => answer.text()).then((text) => new DOMParser().parseFromString(text, "text/html"));
  const part = (await wrongs).getElementById(place.id);
  const copied = document.importNode(part, true);
  copied.removeAttribute("id");
  place.append(copied);
  link.setAttribute("aria-expanded", "true");
}
for (const link of $$(".pit > a")) {
  link.setAttribute("aria-expanded", "false");
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    unfoldPitfall(link);
  });
}

// Chosen frameworks: in the address, remembered, and shown.
const boxes = $$(".choose input");
const tabs = $$(".tabs input");
const known = (boxes.length ? boxes : tabs).map((box) => box.value);
const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);

function choose(names) {
  boxes.forEach((box) => { box.checked = names.includes(box.value); });
  const shown = tabs.find((tab) => tab.checked)?.value;
  if (!names.includes(shown)) tabs.forEach((tab) => { tab.checked = tab.value === names[0]; });
  keep(names);
}
function keep(names) {
  for (const link of $$("a[data-keep]")) {
    const url = new URL(link.href);
    url.search = `?f=${names.join(",")}`;
    link.href = url.href;
  }
  const pair = names.length > 1 ? names.slice(0, 2) : known.filter((name) => name === names[0] || name !== names[0]).slice(0, 2);
  if (names.length === 1) pair.splice(0, 2, ...known.filter((name) => name === names[0]), ...known.filter((name) => name !== names[0]).slice(0, 1));
  pair.sort((a, b) => known.indexOf(a) - known.indexOf(b));
  for (const link of $$("a[data-diff]")) link.href = new URL(`${link.dataset.diff}${pair.join("-")}/`, location.href).href;
}
function read() {
  const asked = new URLSearchParams(location.search).get("f");
  const names = (asked ?? stored.get("frameworks") ?? "").split(",").filter(Boolean);
  const right = known.filter((name) => names.includes(name));
  const wrong = asked === null ? [] : names.filter((name) => !known.includes(name));
  const note = $(".unknown");
  if (note) {
    note.hidden = !wrong.length;
    note.textContent = wrong.length
      ? `There is no framework “${wrong[0].slice(0, 40)}” here. There are ${known.slice(0, -1).join(", ")} and ${known.at(-1)}.`
      : "";
  }
  if (right.length) choose(right);
  else if (boxes.length) keep(chosen());
}
function write(names) {
  const url = new URL(location.href);
  url.searchParams.delete("f");
  const rest = url.searchParams.toString();
  url.search = `?f=${names.join(",")}${rest ? `&${rest}` : ""}`;
  history.replaceState(null, "", url);
  stored.set("frameworks", names.join(","));
  keep(names);
}
boxes.forEach((box) => box.addEventListener("change", () => {
  if (!chosen().length) box.checked = true;
  choose(chosen());
  write(chosen());
}));
tabs.forEach((tab) => tab.addEventListener("change", () => {
  if (!boxes.length) return;
  const others = chosen().filter((name) => name !== tab.value);
  choose([tab.value, ...others.slice(0, boxes.length)]);
  write([tab.value, ...others]);
}));
if (boxes.length || tabs.length) {
  addEventListener("popstate", read);
  addEventListener("pageshow", read);
  read();
}

// A rule lights its lines in whole files.
for (const link of $$("[data-light]")) {
  const light = (on) => () => $$(`[data-rules~="${link.dataset.light}"]`).forEach((line) => line.classList.toggle("lit", on));
  link.addEventListener("mouseenter", light(true));
  link.addEventListener("focus", light(true));
  link.addEventListener("mouseleave", light(false));
  link.addEventListener("blur", light(false));
}

// What an address names is unfolded; everything is, for paper.
function reveal() {
  const name = decodeURIComponent(location.hash.slice(1));
  const target = name && document.getElementById(name);
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  const pitfall = $(":scope > a[aria-expanded=false]", target);
  if (pitfall && target.matches(".pit")) unfoldPitfall(pitfall);
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => $$("details:not([open])").forEach((fold) => {
  fold.open = true;
  fold.dataset.closed = "";
}));
addEventListener("afterprint", () => $$("details[data-closed]").forEach((fold) => {
  fold.open = false;
  delete fold.dataset.closed;
}));

// Filter the equivalents.
const filter = $(".filter input");
if (filter) {
  const rows = $$("tr[data-words]");
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { row.hidden = !words.every((word) => row.dataset.words.includes(word)); });
    $$("tr.group").forEach((head) => {
      let row = head.nextElementSibling;
      while (row?.hidden && row.dataset.words) row = row.nextElementSibling;
      head.hidden = !row?.dataset.words;
    });
    const count = rows.filter((row) => !row.hidden).length;
    $(".filter output").value = `${count} of ${rows.length}`;
  };
  filter.form.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("input", show);
  filter.value = new URLSearchParams(location.search).get("w") ?? "";
  show();
}

// Search is loaded when somebody begins to search.
const fields = $$(".find:not(.filter) input");
let engine;
for (const field of fields) {
  field.addEventListener("focus", async () => {
    engine ??= import("./search.js");
    (await engine).attach(field, root);
  });
}
function seek(text) {
  const field = fields[0];
  if (!field) return;
  field.closest(".top")?.classList.add("seeking");
  field.focus();
  if (text !== undefined) {
    field.value = text;
    (engine ??= import("./search.js")).then((search) => search.attach(field, root).then(() => field.dispatchEvent(new Event("input"))));
  }
  field.select();
}
$(".seek")?.addEventListener("click", () => seek());
for (const link of $$("a[data-seek]")) link.addEventListener("click", (event) => {
  event.preventDefault();
  seek(link.textContent);
});
const asked = new URLSearchParams(location.search).get("q");
if (asked && fields.length) seek(asked.slice(0, 200));

// A page that is not there guesses what was meant.
const guess = $(".guess span");
if (guess) {
  const words = decodeURI(location.pathname).split("/").filter(Boolean).at(-1)?.replace(/[-_.]+/g, " ").slice(0, 80);
  if (words) {
    guess.append(make("a", { href: `${root}words/?q=${encodeURIComponent(words)}`, textContent: `search for “${words}”` }));
    $(".guess").hidden = false;
  }
}

// Keys.
const KEYS = { "/": "search", "↑ ↓": "move through what was found", c: "copy the file of the first framework", l: "copy the link to this place", "1 … 5": "choose a framework", "?": "this help", Esc: "close" };
function help() {
  let dialog = $("dialog.keys");
  if (!dialog) {
    const list = make("dl");
    for (const [key, what] of Object.entries(KEYS)) list.append(make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: what }));
    const form = make("form", { method: "dialog" }, make("button", { textContent: "Close" }));
    dialog = make("dialog", { className: "keys" }, make("h2", { textContent: "Keys", id: "keys" }), list, form);
    dialog.setAttribute("aria-labelledby", "keys");
    document.body.append(dialog);
  }
  dialog.showModal();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, dialog")) return;
  const box = boxes[Number(event.key) - 1];
  if (event.key === "/") seek();
  else if (event.key === "?") help();
  else if (event.key === "l") copy(address());
  else if (event.key === "c") $$("[data-copy]").find((button) => button.checkVisibility())?.click();
  else if (box) box.click();
  else return;
  event.preventDefault();
});
