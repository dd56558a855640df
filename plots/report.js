
"use strict";
// Sorts and filters the tables of a report, and tells the values of its maps. Without it the page
// says the same.

// The number that a cell begins with ("+3.77 ± 0.32"), or null.
function numberOf(text) {
  const found = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?/.exec(text);
  return found ? Number(found[0]) : null;
}

function compare(a, b) {
  const x = numberOf(a), y = numberOf(b);
  if (x !== null && y !== null) return x - y;
  return a.localeCompare(b, "en", { numeric: true });
}

// What has no number stands last either way. The rows keep their order where they agree.
function sortBy(table, column, descending, isName) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [row, row.cells[column].textContent]);
  const isEmpty = (text) => !isName && numberOf(text) === null;
  rows.sort(([, a], [, b]) => {
    if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
    return descending ? compare(b, a) : compare(a, b);
  });
  body.append(...rows.map(([row]) => row));
}

function makeSortable(table) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortBy(table, column, descending, head.classList.contains("name"));
    });
  });
}

// "bits<4.5" asks a column whose heading has the word; other words stand anywhere in the row.
function makeTest(word) {
  const found = /^([^<>=]+)(<=|>=|<|>|=)([+-]?[\d.]+(?:[eE][+-]?\d+)?)$/.exec(word);
  if (!found) return (row) => row.textContent.toLowerCase().includes(word);
  const [, name, sign, text] = found;
  const limit = Number(text);
  return (row) => {
    const heads = Array.from(row.closest("table").tHead.rows[0].cells);
    const column = heads.findIndex((head) => head.textContent.toLowerCase().includes(name));
    const value = column < 0 ? null : numberOf(row.cells[column].textContent);
    if (value === null) return false;
    if (sign === "<") return value < limit;
    if (sign === ">") return value > limit;
    if (sign === "<=") return value <= limit;
    if (sign === ">=") return value >= limit;
    return value === limit;
  };
}

function makeFilter(section) {
  const line = section.querySelector(".filter");
  const rows = Array.from(section.querySelectorAll("tbody tr"));
  line.hidden = false;
  line.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    const tests = words.map(makeTest);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !tests.every((test) => test(row));
      shown += row.hidden ? 0 : 1;
    }
    line.querySelector("output").textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}

// The value under the pointer, by the cell it is in.
function watchMaps(atlas) {
  const kinds = Array.from(atlas.querySelectorAll(".kinds span"), (span) => span.textContent);
  const hint = document.createElement("div");
  hint.className = "hint";
  hint.hidden = true;
  document.body.append(hint);
  atlas.addEventListener("pointermove", (event) => {
    const map = event.target.closest("svg[data-values]");
    hint.hidden = !map;
    if (!map) return;
    const box = map.getBoundingClientRect();
    const values = map.dataset.values.split(",");
    const blocks = values.length / kinds.length;
    const column = Math.min(kinds.length - 1, Math.floor(((event.clientX - box.left) / box.width) * kinds.length));
    const block = Math.min(blocks - 1, Math.floor(((event.clientY - box.top) / box.height) * blocks));
    const value = values[block * kinds.length + column];
    hint.textContent = `block ${block}, ${kinds[column]}: ${value || "none"}`;
    hint.style.left = `${Math.min(event.clientX + 12, window.innerWidth - hint.offsetWidth - 8)}px`;
    hint.style.top = `${event.clientY + 16}px`;
  });
  atlas.addEventListener("pointerleave", () => { hint.hidden = true; });
}

document.querySelectorAll("figure.table table").forEach(makeSortable);
document.querySelectorAll("#trials").forEach(makeFilter);
document.querySelectorAll(".atlas").forEach(watchMaps);
