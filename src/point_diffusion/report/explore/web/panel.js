/* A canvas with the points of one run, at the t of the page. */

const CLICK = 5; // pixels: a drag that is no longer is a click
const DOUBLE = 300; // milliseconds within which a second click makes a double one
const MANY = 100; // strays
const MOST_PIXELS = 2; // of the canvas for one of the page

class Panel {
  /** @param run a RunModel; @param view what all panels show, see controls.js; @param camera of all panels. */
  constructor(run, view, camera, isSmall) {
    [this.run, this.view, this.camera, this.isSmall] = [run, view, camera, isSmall];
    this.field = isSmall ? null : new Field(run);
    this.canvas = element("canvas", { role: "img", tabindex: isSmall ? null : 0 });
    this.caption = element("figcaption");
    this.figure = element("figure", { class: isSmall ? "panel small" : "panel" }, this.canvas, this.caption);
    this.raster = new Raster(this.canvas);
    this.now = new Float32Array(run.count * run.width);
    this.places = new Float64Array(2 * Math.max(run.count, run.truth.length / run.width));
    this.released = [];
    this.selection = null;
    if (!isSmall) this._listen();
  }

  /** What is shown: the forward process, or the way by the chosen sampler. */
  get trajectory() {
    const { view, run } = this;
    if (view.process === "forward") return run.forward;
    return run.trajectory(view.sampler, view.calls, view.guidance);
  }

  /** t of this run: runs may have other numbers of steps, and are shown at the same share of them. */
  get t() {
    return this.view.share * this.run.numStep;
  }

  /** The points as they are shown, (n columns) numbers in the data's own units. */
  positions() {
    return this.trajectory.at(this.t, this.now);
  }

  draw() {
    const { run, view, camera, raster } = this;
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    const size = Math.round(width * Math.min(Math.max(window.devicePixelRatio, 1), MOST_PIXELS));
    const { trajectory, t } = this;
    raster.clear(size, packed(rgbOf(themeColor("ground"))));
    const truths = run.truth.length / run.width;
    if (view.truth) {
      camera.project(run.truth, truths, run.width, size, this.places);
      raster.discs(this.places, truths, this._radius(truths, size), packed(rgbOf(themeColor("truth"))));
    }
    this.positions();
    camera.project(this.now, run.count, run.width, size, this.places);
    raster.discs(this.places, run.count, this._radius(run.count, size), run.colors(trajectory, view.byClass));
    raster.show();
    this._overlay(raster.context, trajectory, t, size);
    this._say(trajectory, t);
  }

  /** In whole or half pixels, so that few masks are made. */
  _radius(count, size) {
    return Math.max(1, Math.round((size / 100) * Math.min(1, Math.sqrt(1000 / count))) / 2);
  }

  _overlay(context, trajectory, t, size) {
    const { run, view, camera, field } = this;
    if (camera.isSpace) this._axes(context, size);
    if (field && view.contours !== "none" && !field.whyNoContours) {
      field.drawContours(
        context,
        view.contours === "both" ? ["truth", "model"] : [view.contours],
        camera,
        size,
      );
    }
    this.arrows = null;
    if (field && view.arrows !== "none" && field.kinds.includes(view.arrows)) {
      this.arrows = field.arrows(view.arrows, t, camera, view.label, view.guidance ?? 1);
      field.drawArrows(context, this.arrows, camera, size);
    }
    if (view.strays && trajectory.strays) {
      context.strokeStyle = themeColor("stray");
      const many = trajectory.strays.length > MANY; // which would hide all else
      context.lineWidth = Math.max(1, many ? 1 : size / 350);
      const reach = size / (many ? 220 : 90);
      context.beginPath();
      for (const i of trajectory.strays) {
        context.moveTo(this.places[2 * i] + reach, this.places[2 * i + 1]);
        context.arc(this.places[2 * i], this.places[2 * i + 1], reach, 0, 7);
      }
      context.stroke();
    }
    for (const ways of this.released) drawReleased(context, camera, ways, t, run.width, size);
    if (this.selection) {
      const scale = size / this.canvas.clientWidth;
      const [left, top, right, bottom] = this.selection.map((value) => value * scale);
      context.strokeStyle = themeColor("way");
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }

  _axes(context, size) {
    context.strokeStyle = context.fillStyle = themeColor("muted");
    context.lineWidth = Math.max(1, size / 600);
    context.font = `${Math.round(size / 45)}px system-ui, sans-serif`;
    this.camera.axes(size).forEach(([x, y, endX, endY], axis) => {
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(endX, endY);
      context.stroke();
      context.fillText(this.run.names[this.camera.columns[axis]], endX + 4, endY - 4);
    });
  }

  /** The caption, and what a screen reader says of the picture. */
  _say(trajectory, t) {
    const { run, view } = this;
    let way = "forward process";
    if (view.process !== "forward") {
      way = `${trajectory.title}, ${trajectory.calls} calls`;
      const { t: stored, plain } = trajectory;
      if (stored.length < plain.of_states)
        way += ` (${stored.length} of ${plain.of_states} states, straight in between)`;
      if (run.guidances.length > 1) way += `, guidance ${trajectory.guidance}`;
    }
    const count = view.process === "forward" ? null : trajectory.strays?.length;
    const strays =
      count === undefined || count === null ? "" : `, ${count} ${count === 1 ? "stray" : "strays"}`;
    let field = "";
    if (this.arrows) {
      field = `; ${view.arrows} field at t = ${shown(this.arrows.t)}`;
      if (this.arrows.factor > 1) field += `, × ${this.arrows.factor}`;
    }
    const text = this.isSmall ? run.title : `${run.title}: ${way}${strays}${field}`;
    if (this.caption.textContent !== text) this.caption.textContent = text;
    const label = `${run.count} points of ${run.title}, ${way}, t = ${shown(t)} of ${run.numStep}${strays}`;
    if (!view.playing || !this.canvas.hasAttribute("aria-label"))
      this.canvas.setAttribute("aria-label", label);
  }

  /** Release points at a pixel of the canvas, at the slider's t; at its end where there is no noise. */
  releaseAt(x, y) {
    const { run, view, camera } = this;
    const t = this.t < 0.5 ? run.numStep : this.t;
    const place = camera.unproject(x, y, this.canvas.clientWidth);
    const way = view.process === "forward" ? run.own : this.trajectory;
    const ways = release(run, way, place, camera.columns, t, view.label, view.guidance ?? 1);
    this.released.push(ways);
    const where = camera.columns
      .map((column, axis) => `${run.names[column]} ${shown(place[axis])}`)
      .join(", ");
    const untold = run.network?.noNumbers.length ? ", its numbers not told" : "";
    const how = ways.byNetwork
      ? `followed by the network with DDIM in all steps${untold}`
      : `the moving points nearest to it are followed: ${run.whyNoNetwork}`;
    view.say(`${run.title}: released at ${where}, t = ${shown(t)}; ${how}`);
    view.onreleased(t / run.numStep);
  }

  _listen() {
    const { canvas, camera, view } = this;
    let [start, last, waiting] = [null, null, null];
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      start = last = place(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = place(event);
      if (camera.isSpace) camera.turn(x - last[0], y - last[1]);
      else if (Math.hypot(x - start[0], y - start[1]) > CLICK) {
        this.selection = [
          Math.min(start[0], x),
          Math.min(start[1], y),
          Math.max(start[0], x),
          Math.max(start[1], y),
        ];
      }
      last = [x, y];
      view.redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [x, y] = place(event);
      if (this.selection) camera.zoomTo(...this.selection, canvas.clientWidth);
      else if (Math.hypot(x - start[0], y - start[1]) <= CLICK) {
        clearTimeout(waiting);
        waiting = setTimeout(() => this.releaseAt(x, y), DOUBLE); // a second click shows the whole
      }
      start = this.selection = null;
      view.redraw();
    });
    canvas.addEventListener("pointercancel", () => {
      start = this.selection = null;
    });
    canvas.addEventListener("dblclick", () => {
      clearTimeout(waiting);
      view.reset();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.shiftKey) return; // else a page could not be scrolled past it
        event.preventDefault();
        camera.zoomAt(event.deltaY < 0 ? 1.15 : 1 / 1.15, ...place(event), canvas.clientWidth);
        view.redraw();
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this._key(event));
  }

  _key(event) {
    const { camera, canvas, view } = this;
    const middle = canvas.clientWidth / 2;
    const turns = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
    if (turns && camera.isSpace) camera.turn(...turns);
    else if (turns) {
      camera.offset = [
        camera.offset[0] + turns[0] / 80 / camera.zoom,
        camera.offset[1] - turns[1] / 80 / camera.zoom,
      ];
    } else if (event.key === "+" || event.key === "=") camera.zoomAt(1.25, middle, middle, 2 * middle);
    else if (event.key === "-") camera.zoomAt(0.8, middle, middle, 2 * middle);
    else if (event.key === "0" || event.key === "Escape") view.reset();
    else if (event.key === "Enter") this.releaseAt(middle, middle);
    else return;
    event.preventDefault();
    view.redraw();
  }
}
