"use strict";
(() => {
  // Numbers as they are shown: thousands apart by commas, the true minus, a unit behind.
  const numberIn = (text) => {
    const found = text.replaceAll(",", "").replaceAll("−", "-").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
    return found ? Number(found[0]) : NaN;
  };
  const collator = new Intl.Collator("en", { numeric: true });

  const sort = (table, head) => {
    const place = head.cellIndex;
    const upward = head.getAttribute("aria-sort") !== "ascending";
    const isNumber = head.classList.contains("number");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[place].textContent.trim();
      const key = isNumber ? numberIn(text) : text;
      return { row, key, missing: isNumber ? Number.isNaN(key) : text === "" || text === "–" };
    });
    keyed.sort((a, b) => {
      if (a.missing || b.missing) return a.missing - b.missing;
      const order = isNumber ? a.key - b.key : collator.compare(a.key, b.key);
      return upward ? order : -order;
    });
    body.append(...keyed.map(({ row }) => row));
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", upward ? "ascending" : "descending");
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => sort(table, button.closest("th")));
    }
  }

  // What scrolls can be scrolled by the arrow keys, so it takes the focus; what does not stays out of the way.
  const reach = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reach);
  reach();

  const plots = [...document.querySelectorAll("script[data-figure]")].map((script) => {
    const { data, layout } = JSON.parse(script.textContent);
    const plot = document.getElementById(script.dataset.figure);
    Plotly.newPlot(plot, data, layout, { displayModeBar: false, responsive: true });
    return plot;
  });
  // A figure in a folded part was drawn without a width.
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", () => {
      for (const plot of details.querySelectorAll(".plot")) Plotly.Plots.resize(plot);
      reach();
    });
  }

  // On paper all is open, and figures have the width of the page.
  const paper = { width: 660 };
  let opened = null;
  const enter = () => {
    if (opened) return;
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
    for (const plot of plots) Plotly.relayout(plot, paper);
  };
  const leave = () => {
    if (!opened) return;
    for (const details of opened) details.open = false;
    opened = null;
    for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
  };
  addEventListener("beforeprint", enter);
  addEventListener("afterprint", leave);
  const print = matchMedia("print");
  print.addEventListener("change", () => (print.matches ? enter() : leave()));

  const download = document.getElementById("download");
  download.addEventListener("click", () => {
    const data = JSON.stringify(JSON.parse(document.getElementById("data").textContent), null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data + "\n"], { type: "application/json" }));
    link.download = download.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
