"use strict";
const table = document.getElementById("streams");
const body = table.tBodies[0];
const filter = document.getElementById("filter");
const shown = document.getElementById("shown");

filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of body.rows) {
    const text = (row.textContent + " " + row.dataset.keys).toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    count += row.hidden ? 0 : 1;
  }
  shown.value = count === 1 ? "1 stream" : count + " streams";
});

for (const [column, head] of Array.from(table.tHead.rows[0].cells).entries()) {
  head.firstElementChild.addEventListener("click", () => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = Array.from(body.rows);
    rows.sort((one, other) => one.cells[column].textContent.localeCompare(other.cells[column].textContent, undefined, { numeric: true }));
    if (!ascending) rows.reverse();
    body.append(...rows);
  });
}
