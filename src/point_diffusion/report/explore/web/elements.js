/* Elements of the page. All texts that come from runs are set as text, never read as HTML. */

/** An element with attributes, and children: elements or texts. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** An element of the page's own, by its id. */
function byId(id) {
  return document.getElementById(id);
}

/** A table: titles, and rows of cells, which are elements or texts. */
function table(caption, titles, rows) {
  const cell = (name, scope) => (each) => element(name, { scope }, each);
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...titles.map(cell("th", "col")))),
    element(
      "tbody",
      {},
      ...rows.map(([first, ...others]) =>
        element("tr", {}, element("th", { scope: "row" }, first), ...others.map(cell("td", null))),
      ),
    ),
  );
}

/** A choice among named values: a label with a select; `onchange` is given the value. */
function choice(label, options, value, onchange) {
  const select = element(
    "select",
    {},
    ...options.map(([key, text]) => element("option", { value: key, selected: key === value }, text)),
  );
  select.addEventListener("change", () => onchange(select.value));
  return element("label", {}, element("span", {}, label), select);
}

/** A box that is checked or not. */
function box(label, checked, onchange) {
  const input = element("input", { type: "checkbox", checked });
  input.addEventListener("change", () => onchange(input.checked));
  return element("label", { class: "box" }, input, element("span", {}, label));
}

/** A number as one reads it: 12,345, or a few digits of a smaller one. */
function shown(value, digits = 3) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return Number.isInteger(value) ? String(value) : Number(value.toPrecision(digits)).toString();
}
