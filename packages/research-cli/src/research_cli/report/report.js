// The table of runs: a click on a column's head sorts it; only rows with all words typed are shown.
"use strict";
const table = document.getElementById("run-table");
if (table) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const heads = Array.from(table.tHead.rows[0].cells);

  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      count += row.hidden ? 0 : 1;
    });
    shown.textContent = words.length ? `${count} of ${rows.length} runs` : "";
  }

  function valueOf(cell) {
    const text = cell.dataset.by ?? cell.textContent;
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }

  // Numbers by size, words after them, empty cells always last.
  function compare(first, second, sign) {
    if (first === "" || second === "") return (first === "") - (second === "");
    if (typeof first === typeof second) {
      return sign * (typeof first === "number" ? first - second : first.localeCompare(second));
    }
    return typeof first === "number" ? -1 : 1;
  }

  function sort(column) {
    const ascending = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const keyed = rows.map((row) => [valueOf(row.cells[column]), row]);
    keyed.sort((first, second) => compare(first[0], second[0], ascending ? 1 : -1));
    body.append(...keyed.map(([, row]) => row));
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(column));
    head.replaceChildren(button);
  });
  filter.parentElement.hidden = false;
  filter.addEventListener("input", narrow);
  narrow(); // the browser keeps what was typed when the page is loaded again
}
