/* Charts by Bokeh, in the colours of the theme; made again where that changes. */

const DASHES = { line: "solid", dashed: "dashed", dotted: "dotted" };

/** The names of lines below their chart, where there is room for any number. */
function chartLegend(lines) {
  const entries = lines.map(({ name, color, dash }) => {
    const mark = element("span", { class: "stroke" });
    mark.style.borderTop = `3px ${DASHES[dash ?? "line"]} ${color}`;
    return element("span", { class: "entry" }, mark, name);
  });
  return element("p", { class: "legend" }, ...entries);
}

/**
 * A chart of lines, with what is under the mouse told in words.
 * @param target an element to hold it; @param title of it, also for screen readers.
 * @param lines {name, x, y, low, high, color, dash} each; low and high, where there are any, as intervals.
 * @param options xLabel, yLabel, isLogX, isLogY.
 */
function lineChart(target, title, lines, { xLabel, yLabel, isLogX = false, isLogY = false }) {
  const [text, grid, ground] = ["text", "line", "card"].map(themeColor);
  const chart = Bokeh.Plotting.figure({
    height: 260,
    sizing_mode: "stretch_width",
    x_axis_type: isLogX ? "log" : "linear",
    y_axis_type: isLogY ? "log" : "linear",
    x_axis_label: xLabel,
    y_axis_label: yLabel,
    tools: "",
    toolbar_location: null,
    background_fill_color: ground,
    border_fill_color: ground,
    outline_line_color: null,
  });
  for (const axis of [...chart.xaxis, ...chart.yaxis]) {
    Object.assign(axis, {
      axis_label_text_color: text,
      major_label_text_color: text,
      axis_line_color: grid,
      major_tick_line_color: grid,
      minor_tick_line_color: null,
      axis_label_text_font_style: "normal",
      axis_label_text_font_size: "14px",
      major_label_text_font_size: "13px",
    });
  }
  for (const each of [...chart.xgrid, ...chart.ygrid]) each.grid_line_color = grid;
  const renderers = [];
  for (const line of lines) {
    const name = Array(line.x.length).fill(line.name);
    const bounded = line.low ? { low: line.low, high: line.high } : {};
    const source = new Bokeh.ColumnDataSource({ data: { x: [...line.x], y: [...line.y], name, ...bounded } });
    const fields = { x: { field: "x" }, y: { field: "y" } };
    if (line.low) {
      const ends = { x0: fields.x, x1: fields.x, y0: { field: "low" }, y1: { field: "high" } };
      chart.segment({ ...ends, source, line_color: line.color, line_alpha: 0.6, line_width: 2 });
    }
    const look = { source, line_color: line.color, line_width: 2, line_dash: DASHES[line.dash ?? "line"] };
    const drawn = chart.line(fields.x, fields.y, look);
    const dots = chart.scatter(fields.x, fields.y, {
      source,
      size: line.x.length <= 60 ? 6 : 1,
      color: line.color,
    });
    renderers.push(line.x.length <= 60 ? dots : drawn);
  }
  const tooltips = [
    ["", "@name"],
    [xLabel, "@x{0,0.[00]}"],
    [yLabel, "@y{0.[0000]a}"],
  ];
  chart.add_tools(new Bokeh.HoverTool({ tooltips, renderers, mode: "mouse" }));
  const place = element("div");
  const last = lines.map((line) => `${line.name} ends at ${shown(line.y[line.y.length - 1])}`).join("; ");
  const figure = element("figure", { class: "chart" }, element("figcaption", {}, title), place);
  if (lines.length > 1) figure.append(chartLegend(lines));
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", `${title}: ${yLabel} against ${xLabel}. ${last}`);
  target.append(figure);
  Bokeh.Plotting.show(chart, place);
}
