const table = document.querySelector("tbody");
const lines = [...table.rows];
const counted = document.querySelector("#counted");
const today = Date.now();

for (const cell of document.querySelectorAll("[data-made]")) {
  const days = Math.floor((today - Date.parse(cell.dataset.made)) / 864e5);
  cell.textContent += ` (${days} ${days === 1 ? "day" : "days"} ago)`;
}
for (const cell of document.querySelectorAll("[data-due]")) {
  if (Date.parse(cell.dataset.due) < today) cell.classList.add("due");
}

function search(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let number = 0;
  for (const line of lines) {
    const text = line.textContent.toLowerCase();
    line.hidden = !wanted.every((word) => text.includes(word));
    number += !line.hidden;
  }
  counted.textContent = `${number} of ${lines.length} teams`;
}

function sort(column, up) {
  const key = (line) => line.cells[column].dataset.key ?? line.cells[column].textContent.trim();
  const ordered = [...lines].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
    const number = Number(a) - Number(b);
    return (Number.isNaN(number) ? a.localeCompare(b) : number) * (up ? 1 : -1);
  });
  table.append(...ordered);
}

const box = document.querySelector("input");
box.addEventListener("input", () => search(box.value));
for (const [column, button] of [...document.querySelectorAll("thead button")].entries()) {
  button.addEventListener("click", () => {
    const up = button.parentElement.getAttribute("aria-sort") !== "ascending";
    for (const head of document.querySelectorAll("thead th")) head.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", up ? "ascending" : "descending");
    sort(column, up);
  });
}
search("");
