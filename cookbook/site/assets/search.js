// Search: Pagefind finds, this shows. Every text becomes a text node.
const MOST = 10;
let loaded;

const make = (tag, props = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
};
const plain = (html) => new DOMParser().parseFromString(html, "text/html").body.textContent;

const load = (root) => (loaded ??= begin(root));
async function begin(root) {
  const base = new URL(root, location.href);
  const pagefind = await import(new URL("pagefind/pagefind.js", base).href);
  await pagefind.options({ baseUrl: base.pathname, excerptLength: 18, ranking: { pageLength: 0.1, termFrequency: 0.3 } });
  return pagefind;
}

// A page, or the part of it that fits best.
function entry(page) {
  const worth = (part) => part.weighted_locations.reduce((sum, place) => sum + place.balanced_score, 0);
  const best = [...page.sub_results].sort((a, b) => worth(b) - worth(a))[0] ?? page;
  const part = best.url.includes("#") ? best.title : "";
  return { title: page.meta.title, part, url: best.url, text: plain(best.excerpt) };
}

// Pagefind shortens words until something fits; what does not begin like
// any word that was asked for is left out.
function fits(page, words) {
  const text = `${page.meta.title} ${page.content}`.toLowerCase();
  const begins = words.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean).map((word) => word.slice(0, Math.max(3, word.length - 2)));
  return begins.some((begin) => text.includes(begin));
}

// Words of the index that look like what was asked for.
async function near(words, root) {
  const pairs = (text) => new Set([...text.toLowerCase()].map((letter, at, all) => letter + (all[at + 1] ?? "")).slice(0, -1));
  const answer = await fetch(`${root}words/`);
  const index = new DOMParser().parseFromString(await answer.text(), "text/html");
  const asked = pairs(words);
  const rank = (text) => {
    const own = pairs(text);
    return [...own].filter((pair) => asked.has(pair)).length / Math.max(own.size, asked.size, 1);
  };
  const known = new Set([...index.querySelectorAll(".letters li a span:first-child")].map((word) => word.textContent));
  return [...known].map((word) => [rank(word), word]).filter(([worth]) => worth > 0.4).sort((a, b) => b[0] - a[0]).slice(0, 3).map(([, word]) => word);
}

export async function attach(field, root) {
  if (field.dataset.ready) return;
  field.dataset.ready = "yes";
  const list = make("div", { className: "found", id: `found-${Math.random().toString(36).slice(2)}`, role: "listbox", hidden: true });
  list.setAttribute("aria-label", "Found");
  field.form.append(list);
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-expanded", "false");
  field.setAttribute("aria-controls", list.id);
  field.setAttribute("aria-autocomplete", "list");
  let turn = 0;
  let at = -1;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const move = (to) => {
    const all = options();
    at = all.length ? (to + all.length) % all.length : -1;
    all.forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
    if (at >= 0) {
      field.setAttribute("aria-activedescendant", all[at].id);
      all[at].scrollIntoView({ block: "nearest" });
    } else field.removeAttribute("aria-activedescendant");
  };
  const open = (is) => {
    list.hidden = !is;
    field.setAttribute("aria-expanded", String(is));
    if (is) return;
    at = -1;
    field.removeAttribute("aria-activedescendant");
  };
  const nothing = async (words) => {
    const parts = [`Nothing found for “${words}”. `];
    const others = await near(words, root);
    if (others.length) {
      parts.push("Near it: ");
      others.forEach((word, place) => {
        const button = make("button", { type: "button", textContent: word });
        button.addEventListener("click", () => { field.value = word; field.focus(); search(); });
        parts.push(button, place < others.length - 1 ? ", " : ". ");
      });
    }
    [["words/", "Every word"], ["recipes/", "every recipe"], ["symptoms/", "every symptom"]].forEach(([at, text], place) => {
      parts.push(make("a", { href: root + at, textContent: text }), place < 2 ? ", " : ".");
    });
    list.setAttribute("role", "group");
    list.replaceChildren(make("p", { className: "none" }, ...parts));
  };
  const show = (found) => {
    list.setAttribute("role", "listbox");
    list.replaceChildren(...found.map((page, place) => {
      const option = make("a", { id: `${list.id}-${place}`, href: page.url, tabIndex: -1 }, make("span", { textContent: page.title }));
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      if (page.part) option.append(make("span", { className: "where", textContent: page.part }));
      option.append(make("span", { className: "text", textContent: page.text }));
      return option;
    }));
    at = -1;
  };
  const search = async () => {
    const words = field.value.trim();
    const mine = ++turn;
    if (!words) return open(false);
    const engine = await load(root);
    const answer = await engine.search(words);
    const pages = await Promise.all(answer.results.slice(0, MOST).map((result) => result.data()));
    const found = pages.filter((page) => fits(page, words)).map(entry);
    if (!found.length) await nothing(words);
    if (mine !== turn) return;
    if (found.length) show(found);
    open(true);
    if (found.length) move(0);
  };
  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") move(at + 1);
    else if (event.key === "ArrowUp") move(at - 1);
    else if (event.key === "Escape") { if (list.hidden) field.blur(); else open(false); }
    else return;
    event.preventDefault();
  });
  field.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (list.hidden) await search();
    const option = options()[Math.max(at, 0)];
    if (option) { open(false); location.href = option.href; }
  });
  document.addEventListener("click", (event) => { if (!field.form.contains(event.target)) open(false); });
  load(root);
  if (field.value) await search();
}
