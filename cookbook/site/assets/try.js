// Sending without leaving the page: what comes back is put in its place.
const form = document.getElementById("try");
const asked = () => [...form.querySelectorAll(".choose input:checked")].map((box) => box.nextElementSibling.textContent);
const say = (text) => { form.querySelector(".running").textContent = text; };
const PARTS = [".ask", ".running", ".acts", "#answers"];

function put(fresh) {
  const tab = form.querySelector(".tabs input:checked")?.value;
  for (const part of PARTS) form.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
  const kept = [...form.querySelectorAll(".tabs input")].find((box) => box.value === tab);
  if (kept) kept.checked = true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (form.ariaBusy === "true") return;
  const { name, value } = event.submitter ?? {};
  form.ariaBusy = "true";
  say(value === "stop" ? "Stopping" : `Asking ${asked().join(", ") || "all"}`);
  try {
    const body = new URLSearchParams(new FormData(form, event.submitter));
    const answer = await fetch(form.action, { method: "POST", body });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("try")) throw new Error(page.title);
    put(page);
    [...form.querySelectorAll("button:enabled")].find((each) => each.name === name && each.value === value)?.focus({ preventScroll: true });
  } catch (error) {
    say(`The explorer did not answer: ${error.message}. Does it still run?`);
  }
  form.ariaBusy = "false";
});
