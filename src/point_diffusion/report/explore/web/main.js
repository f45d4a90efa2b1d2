/* The page: its runs, the panels in step, one clock, and the sections below. */

const content = JSON.parse(byId("content").textContent);
const runs = content.runs.map((plain) => new RunModel(plain));
const first = runs[0];
const columns = first.width > 3 ? [0, 1] : Array.from({ length: first.width }, (_, column) => column);
const camera = new Camera(first.plain.center, first.plain.half, columns);
const view = new View(runs);
const panels = runs.map((run) => new Panel(run, view, camera, !content.large));
let asked = false;
let frames = null; // times of drawing, while they are measured

/** Draw all panels, in the next frame. */
view.redraw = () => {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const began = performance.now();
    for (const panel of panels) panel.draw();
    frames?.drawing.push(performance.now() - began);
    showTime();
  });
};

view.reset = () => {
  camera.reset();
  view.redraw();
};

view.onchange = () => {
  if (content.large) fillControls(byId("controls"), view, panels, camera);
  fillLegend(byId("legend"), view);
  for (const button of document.querySelectorAll("[data-sampler]")) {
    button.setAttribute("aria-pressed", button.dataset.sampler === `${view.sampler} ${view.calls}`);
  }
};

view.onreleased = (share) => {
  view.share = share;
  setPlaying(true);
};

function showTime() {
  const slider = byId("time");
  if (document.activeElement !== slider || view.playing) slider.value = view.share;
  const text = runs.every((run) => run.numStep === first.numStep)
    ? `t = ${Math.round(view.share * first.numStep)} of ${first.numStep}`
    : `t = ${Math.round(100 * view.share)}% of each run's steps`;
  if (byId("time-text").textContent !== text) {
    byId("time-text").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }
}

function setPlaying(playing) {
  view.playing = playing;
  const text = playing ? "Pause" : "Play";
  byId("play").textContent = text;
  byId("play").setAttribute("aria-label", text);
  if (playing) requestAnimationFrame((now) => tick(now, now));
}

/** Move on by the time that has passed; at the end stop. */
function tick(before, now) {
  if (!view.playing) return;
  frames?.passed.push(now - before);
  const way = ((now - before) / 1000 / PLAY_SECONDS) * (view.process === "forward" ? 1 : -1);
  view.share = Math.min(Math.max(view.share + way, 0), 1);
  view.redraw();
  if (view.share === (view.process === "forward" ? 1 : 0)) setPlaying(false);
  else requestAnimationFrame((next) => tick(now, next));
}

byId("play").addEventListener("click", () => {
  if (!view.playing && view.share === (view.process === "forward" ? 1 : 0))
    view.share = view.process === "forward" ? 0 : 1;
  setPlaying(!view.playing);
});
byId("time").addEventListener("input", () => {
  setPlaying(false);
  view.share = Number(byId("time").value);
  view.redraw();
});

function showPanels() {
  const { differences } = content;
  const place = byId("panels");
  place.classList.toggle("many", !content.large);
  place.style.setProperty("--count", Math.min(runs.length, 3));
  if (!content.large && differences.length === 2) {
    // rows and columns by the two keys that differ
    const [across, up] = differences;
    const [heads, sides] = [across, up].map((each) => [...new Set(each.values)]);
    const cells = sides.map((side) => [
      `${up.key}=${side}`,
      ...heads.map((head) => {
        const here = panels.filter((_, k) => across.values[k] === head && up.values[k] === side);
        return element("div", {}, ...here.map((panel) => panel.figure));
      }),
    ]);
    place.append(table("", ["", ...heads.map((head) => `${across.key}=${head}`)], cells));
  } else place.append(...panels.map((panel) => panel.figure));
}

function showDifferences() {
  const { differences } = content;
  if (differences.length === 0) return;
  byId("differences-section").hidden = false;
  const rows = runs.map((run, index) => [run.title, ...differences.map((each) => each.values[index])]);
  byId("differences").append(table("", ["run", ...differences.map((each) => each.key)], rows));
}

/** What is drawn in the theme's colours by others, anew. */
function showCharts() {
  for (const id of ["training-charts", "settings-charts", "quality-chart"]) byId(id)?.replaceChildren();
  if (content.large) for (const run of runs) qualityChart(byId("quality-chart"), run);
  trainingCharts(byId("training-charts"), runs);
  scheduleCharts(byId("settings-charts"), runs);
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light theme" : "Dark theme";
  view.redraw();
  requestAnimationFrame(() => setTimeout(showCharts)); // after the points: charts take most of the time
}

function showSections() {
  const choose = (trajectory) =>
    view.set({ process: "reverse", sampler: trajectory.title, calls: trajectory.calls });
  if (content.large) {
    byId("quality").append(...runs.map((run) => qualityTable(run, choose)));
    byId("quality").after(element("div", { id: "quality-chart", class: "charts" }));
    gridsOf(byId("grids"), runs);
    byId("budgets").append(...runs.map(budgetOf));
  } else byId("quality-section").hidden = true;
  byId("settings").append(...runs.map((run) => settingsOf(run, (text) => view.say(text))));
}

/** What is not shown of a run, each with the reason. */
function showMissing() {
  const lines = panels.flatMap(({ run, field }) => [
    run.network ? "" : `${run.title}: a click follows the nearest of the moving points: ${run.whyNoNetwork}`,
    field.whyNoExact ? `${run.title}: no exact field: ${field.whyNoExact}` : "",
    field.whyNoContours ? `${run.title}: no densities: ${field.whyNoContours}` : "",
  ]);
  const known = [...new Set(lines)].filter((line) => line !== "");
  byId("missing").replaceChildren(...known.map((line) => element("li", {}, line)));
}

function start() {
  const name = runs.map((run) => run.title).join(" | ");
  document.title = `${name} – Point Diffusion`;
  byId("title").textContent = runs.length > 3 ? `${runs.length} runs` : name;
  byId("summary").textContent =
    `${first.count.toLocaleString("en")} points, ${first.names.join(", ")}; noise of seed ${content.seed}`;
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  showDifferences();
  showPanels();
  showSections();
  const drag = camera.isSpace
    ? "Drag turns it"
    : first.width === 1
      ? "The height is without meaning; drag zooms in"
      : "Drag zooms in";
  byId("hint").textContent = content.large
    ? `${drag}; a click releases points there at the slider's t and follows them; ` +
      "a double click shows the whole. " +
      "Keys: arrows, +, − and 0, Enter releases at the middle; Shift with the wheel zooms."
    : "";
  if (content.large) showMissing();
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  view.onchange();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => setTheme(event.matches));
  new ResizeObserver(() => view.redraw()).observe(byId("panels"));
}

start();

/** For the console, and for tests: the parts of the page; and how long frames take, as the points move. */
window.explorer = {
  content,
  runs,
  panels,
  view,
  camera,
  async measure(seconds) {
    frames = { passed: [], drawing: [] };
    view.share = view.process === "forward" ? 0 : 1;
    setPlaying(true);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    setPlaying(false);
    const found = frames;
    frames = null;
    return found;
  },
};
