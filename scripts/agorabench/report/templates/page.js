"use strict";
// Tables are sorted by their column heads; what has data-filter gets a field for each axis named
// there; answers to an item are shown side by side. Without this script the page shows everything,
// in the order it was written.

const order = new Intl.Collator("en", { numeric: true });
const make = (name, properties = {}) => Object.assign(document.createElement(name), properties);
const number = (cell) => Number.parseFloat(cell.textContent.replaceAll(/[<,]/g, ""));

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if ("unsorted" in head.dataset) return;
    const button = make("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    const numeric = head.classList.contains("number");
    button.addEventListener("click", () => {
      // The first click shows the largest number, or the first name, on top.
      const before = head.getAttribute("aria-sort") ?? (numeric ? "ascending" : "descending");
      const sign = before === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      const compare = (a, b) => {
        const [one, two] = [a.cells[column], b.cells[column]];
        if (!numeric) return sign * order.compare(one.textContent, two.textContent);
        const [x, y] = [number(one), number(two)];
        // What is no number is last, whichever way the others go.
        return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y) || 0;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    });
  });
}

function filterable(host) {
  const table = host.tagName === "TABLE";
  const items = table ? [...host.tBodies[0].rows] : [...host.children];
  const heads = table ? [...host.tHead.rows[0].cells].map((head) => head.textContent.trim()) : [];
  const value = (item, axis) =>
    table ? item.cells[heads.indexOf(axis)].textContent.trim() : item.dataset[axis];
  const words = (item) => (table ? item : item.querySelector("summary")).textContent.toLowerCase();
  const form = make("form", { className: "filter" });
  form.setAttribute("aria-label", `Filter: ${host.dataset.name}`);
  form.addEventListener("submit", (event) => event.preventDefault());
  const fields = [];
  for (const axis of host.dataset.filter.split(" ").filter(Boolean)) {
    const values = [...new Set(items.map((item) => value(item, axis)))];
    if (values.length < 2) continue;
    const select = make("select");
    select.append(make("option", { value: "", textContent: "all" }));
    // With a mark before it, so that an empty value is none of the choices' own.
    for (const name of values) select.append(make("option", { value: `=${name}`, textContent: name || "(none)" }));
    const label = make("label", { textContent: axis });
    label.append(select);
    form.append(label);
    fields.push((item) => !select.value || select.value === `=${value(item, axis)}`);
  }
  const search = make("input", { type: "search" });
  const label = make("label", { textContent: "contains" });
  label.append(search);
  const count = make("output", { className: "quiet" });
  form.append(label, count);
  fields.push((item) => words(item).includes(search.value.trim().toLowerCase()));
  const apply = () => {
    for (const item of items) item.hidden = !fields.every((fits) => fits(item));
    count.textContent = `${items.filter((item) => !item.hidden).length} of ${items.length} shown`;
  };
  form.addEventListener("input", apply);
  apply();
  (table ? host.parentElement : host).before(form);
}

// The answers of all models to an item, with their verdicts; what they were asked stands once.
function compare(answers) {
  const dialog = make("dialog");
  const close = make("button", { type: "button", textContent: "Close" });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  const grid = make("div", { className: "beside" });
  for (const answer of answers) {
    const copy = answer.cloneNode(true);
    copy.hidden = false;
    copy.querySelector("button").remove();
    copy.querySelector(".asked").remove();
    copy.prepend(make("h5", { textContent: answer.dataset.model }));
    grid.append(copy);
  }
  dialog.append(close, make("h4", { textContent: answers[0].dataset.item }));
  dialog.append(answers[0].querySelector(".asked").cloneNode(true), grid);
  document.body.append(dialog);
  dialog.showModal();
}

function comparable(answers) {
  const byItem = Map.groupBy(answers, (answer) => answer.dataset.item);
  for (const answer of answers) {
    const same = byItem.get(answer.dataset.item);
    if (same.length < 2) continue;
    const button = make("button", { type: "button", textContent: `Answers of all ${same.length} models` });
    button.addEventListener("click", () => compare(same));
    answer.append(button);
  }
  const box = make("input", { type: "checkbox" });
  box.addEventListener("input", () => {
    for (const answer of answers) answer.hidden = box.checked && answer.classList.contains("right");
  });
  const label = make("label", { className: "quiet" });
  label.append(box, " only answers that are not right");
  document.querySelector("#sets + .caption").after(label);
}

// A link to a set opens it, wherever it is folded away.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let place = target; place; place = place.parentElement) {
    place.hidden = false;
    if (place.tagName === "DETAILS") place.open = true;
  }
  target.scrollIntoView();
}

document.querySelectorAll("[data-filter]").forEach(filterable);
document.querySelectorAll("table.sortable").forEach(sortable);
comparable([...document.querySelectorAll("article[data-item]")]);
window.addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => {
  if (event.target.closest('a[href^="#"]')) setTimeout(reveal); // also where the address stays
});
reveal();
