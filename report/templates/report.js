"use strict";
// The still charts are complete: whatever fails here leaves them where they are.
(function () {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const options = { actions: false, renderer: "svg", tooltip: { theme: "light" } };

  async function replace(name) {
    const plot = document.querySelector("#chart-" + CSS.escape(name) + " .plot");
    const live = document.createElement("div");
    const still = plot.firstElementChild;
    // Laid out at full width, but not seen, until it can take the still chart's place.
    live.style.cssText = "visibility:hidden;height:0;overflow:hidden";
    plot.append(live);
    try {
      const spec = specs[name];
      if (plot.clientWidth < 460) spec.config.legend.columns = (spec.usermeta || {}).narrowColumns || 2;
      await vegaEmbed(live, spec, options);
      still.remove();
      live.style.cssText = "";
      plot.classList.add("live");
    } catch (error) {
      live.remove();
      console.error(name, error);
    }
  }

  if (window.vegaEmbed) {
    Object.keys(specs).reduce(function (before, name) {
      return before.then(function () { return replace(name); });
    }, Promise.resolve()).then(function () { document.documentElement.dataset.charts = "ready"; });
  } else {
    document.documentElement.dataset.charts = "none";
  }

  for (const box of document.querySelectorAll("details.filtered")) {
    const rows = Array.from(box.querySelectorAll("tbody tr"));
    const input = document.createElement("input");
    input.className = "filter";
    input.type = "search";
    input.placeholder = "Filter: every word must occur, e.g. torch crashed";
    input.setAttribute("aria-label", "Filter cells");
    const count = document.createElement("span");
    count.className = "hint";
    input.addEventListener("input", function () {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? " " + shown + " of " + rows.length : "";
    });
    box.querySelector("summary").after(input, count);
  }
})();
