"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const palette = [
    "#2f7fb8", "#dd6b20", "#2f9e6e", "#b0489a", "#9a7d16",
    "#d1435b", "#6a67ce", "#1e9bb0", "#94603c", "#76808a",
  ];
  const titles = {
    sparsity: "sparsity",
    flops: "FLOPs of inference (dense: 100%)",
    training: "FLOPs of training (a dense one: 100%)",
    bytes: "bytes of the weights",
  };
  const config = {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: {
      labelColor: "currentColor", titleColor: "currentColor", domainColor: "currentColor",
      tickColor: "currentColor", gridColor: "currentColor", gridOpacity: 0.12,
      domainOpacity: 0.4, tickOpacity: 0.4, titleFontWeight: "normal", titleOpacity: 0.75,
      labelFontSize: 11, titleFontSize: 12, titlePadding: 8,
    },
    legend: { labelColor: "currentColor", titleColor: "currentColor", titleFontWeight: "normal", labelLimit: 260 },
    text: { color: "currentColor" },
  };

  const state = data.tasks.map((task) => {
    const series = [...new Set(task.groups.map((group) => group.series))];
    const color = new Map(series.map((name, i) => [name, palette[i % palette.length]]));
    return { series, color, hidden: new Set(), rows: null };
  });

  const shownGroups = (t) =>
    data.tasks[t].groups.filter(
      (group) => !state[t].hidden.has(group.series) && (!state[t].rows || state[t].rows.has(group.id)),
    );
  const label = (group) =>
    group.sparsity > 0 ? `${group.name}, ${(100 * group.sparsity).toFixed(1)} %` : group.name;

  function spec(values, layers, extra = {}) {
    return {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      data: { values }, width: "container", height: 250, config,
      autosize: { type: "fit-x", contains: "padding" },
      layer: layers, ...extra,
    };
  }
  const colorOf = (t, field = "series") => ({
    field, type: "nominal", legend: null,
    scale: { domain: state[t].series, range: state[t].series.map((name) => state[t].color.get(name)) },
  });
  const yOf = (t, field, title = data.tasks[t].title) => ({
    field, type: "quantitative", scale: { zero: false, padding: 8 },
    axis: { format: data.tasks[t].format, title, tickCount: 5 },
  });

  function errorBars(t, values, x, color) {
    const spread = values.filter((value) => value.spread != null);
    const encoding = { x, y: yOf(t, "low"), y2: { field: "high" }, color };
    return spread.length ? [{ data: { values: spread }, mark: { type: "rule", strokeWidth: 1.5 }, encoding }] : [];
  }

  function against(t, field) {
    const task = data.tasks[t];
    const values = shownGroups(t)
      .filter((group) => group[field] != null && group.mean != null)
      .map((group) => ({
        ...group, curves: undefined, looks: undefined, layers: undefined, levels: undefined,
        low: group.mean - (group.spread ?? 0), high: group.mean + (group.spread ?? 0),
      }));
    if (!values.length) return null;
    const sparse = values.filter((value) => value.sparsity > 0);
    const rules = field === "sparsity" && sparse.length ? values.filter((value) => !(value.sparsity > 0)) : [];
    const marks = rules.length ? sparse : values;
    const scale = field === "sparsity" ? { zero: false, nice: false, padding: 14 } : { type: "log", nice: false, padding: 14 };
    const format = { bytes: ".3~s", sparsity: ".1~%" }[field] ?? ".3~%";
    const x = { field, type: "quantitative", scale, axis: { format, title: titles[field], tickCount: 5 } };
    const color = colorOf(t);
    const tooltip = [
      { field: "name", title: "method" },
      { field: "mean", title: task.title, format: task.finer },
      { field: "spread", title: "spread", format: task.finer },
      { field: "n", title: "seeds" },
      { field: "sparsity", format: ".2%" },
      { field: "flops", title: "FLOPs", format: ".2%" },
      { field: "training", title: "FLOPs of training", format: ".2%" },
      { field: "bytes", format: ",.0f" },
    ];
    const references = [
      { data: { values: rules }, mark: { type: "rule", strokeDash: [5, 4], strokeWidth: 1.5 }, encoding: { y: yOf(t, "mean"), color, tooltip } },
      { data: { values: rules }, mark: { type: "text", align: "left", baseline: "bottom", dx: 4, dy: -2, fontSize: 11 }, encoding: { x: { value: 0 }, y: yOf(t, "mean"), text: { field: "name" }, color } },
    ];
    return spec(marks, [
      ...(rules.length ? references : []),
      { mark: { type: "line", strokeWidth: 1.75, opacity: 0.65 }, encoding: { x, y: yOf(t, "mean"), color, detail: { field: "series" } } },
      ...errorBars(t, marks, x, color),
      { mark: { type: "point", filled: true, size: 60, opacity: 1 }, encoding: { x, y: yOf(t, "mean"), color, tooltip } },
    ]);
  }

  function bands(t, kind, name, format, xTitle) {
    const values = shownGroups(t).flatMap((group) =>
      (group[kind][name] ?? []).map(([x, mean, low = mean, high = mean]) => ({
        x, mean, low, high, series: group.series, id: group.id, name: label(group),
      })),
    );
    if (!values.length) return null;
    const x = { field: "x", type: "quantitative", scale: { nice: false }, axis: { title: xTitle, format: "~s", tickMinStep: 1, tickCount: 8 } };
    const y = { field: "mean", type: "quantitative", scale: { zero: false }, axis: { format, title: null, tickCount: 5 } };
    const detail = { field: "id" };
    return spec(values, [
      { mark: { type: "area", opacity: 0.13 }, encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" }, color: colorOf(t), detail } },
      { mark: { type: "line", strokeWidth: 1.75 }, encoding: { x, y, color: colorOf(t), detail } },
      {
        mark: { type: "point", size: 60, opacity: 0 },
        encoding: {
          x, y, color: colorOf(t),
          tooltip: [
            { field: "name", title: "method" }, { field: "x", title: xTitle },
            { field: "mean", format: ".4~g" }, { field: "low", title: "lowest", format: ".4~g" },
            { field: "high", title: "highest", format: ".4~g" },
          ],
        },
      },
    ]);
  }

  function layers(t) {
    const groups = shownGroups(t).filter((group) => group.layers.length);
    const values = groups.flatMap((group) =>
      group.layers.map(([kernel, sparsity]) => ({ kernel, sparsity, row: label(group) })),
    );
    if (!values.length) return null;
    const kernels = new Set(values.map((value) => value.kernel)).size;
    const rows = new Set(values.map((value) => value.row)).size;
    const many = kernels > 12;
    const x = { field: "kernel", type: "nominal", sort: null, axis: { title: null, orient: "top", labels: !many, ticks: !many, labelAngle: 0, labelLimit: 110, domain: false } };
    const y = { field: "row", type: "nominal", sort: null, axis: { title: null, labelLimit: window.innerWidth < 720 ? 110 : 260, domain: false, ticks: false } };
    const found = [
      {
        mark: { type: "rect", cornerRadius: 2 },
        encoding: {
          x, y,
          color: { field: "sparsity", type: "quantitative", scale: { scheme: "blues", domain: [0, 1] }, legend: many ? { format: ".0%", title: "sparsity", orient: "bottom" } : null },
          tooltip: [{ field: "row", title: "method" }, { field: "kernel" }, { field: "sparsity", format: ".2%" }],
        },
      },
    ];
    if (!many) {
      found.push({
        mark: { type: "text", fontSize: 11 },
        encoding: {
          x, y, text: { field: "sparsity", format: ".1%" },
          color: { condition: { test: "datum.sparsity > 0.5", value: "#fff" }, value: "#10283a" },
        },
      });
    }
    return spec(values, found, { height: 40 + rows * (many ? 18 : 24) });
  }

  function levels(t) {
    const groups = shownGroups(t).filter((group) => group.levels.length);
    const values = groups.flatMap((group) =>
      group.levels.map((row) => ({
        ...row, branch: groups.length > 1 ? `${group.name}: ${row.branch}` : row.branch,
        low: row.mean - (row.spread ?? 0), high: row.mean + (row.spread ?? 0),
      })),
    );
    if (!values.length) return null;
    const color = { field: "branch", type: "nominal", sort: null, scale: { range: palette }, legend: { title: null, orient: "bottom", columns: window.innerWidth < 720 ? 2 : 6 } };
    const x = { field: "density", type: "quantitative", scale: { type: "log", reverse: true, nice: false, padding: 14 }, axis: { format: ".2~%", title: "weights left" } };
    return spec(values, [
      { mark: { type: "line", strokeWidth: 1.75, opacity: 0.7 }, encoding: { x, y: yOf(t, "mean"), color } },
      ...errorBars(t, values, x, color),
      {
        mark: { type: "point", filled: true, size: 50, opacity: 1 },
        encoding: { x, y: yOf(t, "mean"), color, tooltip: [
          { field: "branch" }, { field: "level" }, { field: "density", format: ".2%" },
          { field: "mean", format: data.tasks[t].finer }, { field: "spread", format: data.tasks[t].finer }, { field: "n", title: "seeds" },
        ] },
      },
    ], { height: 300 });
  }

  function chosen(place) {
    const select = place.closest(".card").querySelector("select");
    return select ? select.value : null;
  }
  function specOf(place) {
    const t = Number(place.dataset.task);
    const kind = place.dataset.plot;
    if (kind in titles) return against(t, kind);
    if (kind === "curves") {
      const name = chosen(place);
      const share = /accuracy|sparsity|exploration/.test(name);
      return bands(t, "curves", name, share ? ".0%" : ".3~g", "epoch");
    }
    if (kind === "looks") {
      const name = chosen(place);
      return bands(t, "looks", name, name.startsWith("gradient") ? ".3~g" : ".1~%", "step");
    }
    return kind === "layers" ? layers(t) : levels(t);
  }

  async function draw(place) {
    place.dataset.drawn = "yes";
    const found = specOf(place);
    if (!found) {
      place.textContent = "Nothing to draw of what is chosen.";
      return;
    }
    place.textContent = "";
    await vegaEmbed(place, found, { renderer: "svg", actions: false });
  }
  const drawn = () => document.querySelectorAll(".plot[data-drawn]");
  const redraw = (t) => Promise.all([...drawn()].filter((place) => Number(place.dataset.task) === t).map(draw));

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          watcher.unobserve(entry.target);
          draw(entry.target);
        }
      }
    },
    { rootMargin: "400px" },
  );
  const plots = [...document.querySelectorAll(".plot")];
  plots.forEach((place) => watcher.observe(place));
  const drawAll = () => Promise.all(plots.filter((place) => !place.dataset.drawn && !place.closest("[hidden]")).map(draw));
  addEventListener("beforeprint", drawAll);

  document.querySelectorAll(".card select").forEach((select) =>
    select.addEventListener("change", () => draw(select.closest(".card").querySelector(".plot"))),
  );

  document.querySelectorAll(".legend").forEach((legend) => {
    const t = Number(legend.dataset.task);
    for (const name of state[t].series) {
      const button = document.createElement("button");
      const dot = document.createElement("i");
      dot.style.setProperty("--c", state[t].color.get(name));
      button.append(dot, name);
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        const off = state[t].hidden.has(name);
        off ? state[t].hidden.delete(name) : state[t].hidden.add(name);
        button.setAttribute("aria-pressed", String(off));
        redraw(t);
      });
      legend.append(button);
    }
  });

  document.querySelectorAll("input[type=search]").forEach((input) => {
    const t = Number(input.dataset.task);
    let timer;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = new Set();
      for (const row of input.closest("section").querySelectorAll("tbody tr[data-id]")) {
        const text = row.textContent.toLowerCase();
        const found = words.every((word) => text.includes(word));
        row.hidden = !found;
        if (found) rows.add(Number(row.dataset.id));
      }
      state[t].rows = words.length ? rows : null;
      for (const part of input.closest("section").querySelectorAll("[data-of]")) {
        part.hidden = words.length > 0 && !rows.has(Number(part.dataset.of));
      }
      clearTimeout(timer);
      timer = setTimeout(() => redraw(t), 150);
    });
  });

  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button")?.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const compare = (a, b) => {
          const [x, y] = [value(a), value(b)];
          const [p, q] = [Number(x), Number(y)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
          return down ? -order : order;
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
      });
    });
  });

  document.querySelectorAll(".tabs button").forEach((button) =>
    button.addEventListener("click", () => {
      document.querySelectorAll(".tabs button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      document.querySelectorAll("section.task").forEach((task) => { task.hidden = task.id !== button.dataset.for; });
    }),
  );
  window.reportReady = Promise.resolve();
  window.reportDrawAll = drawAll;
})();
