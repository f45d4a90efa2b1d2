/* The vector field and the densities behind the points. */

const ACROSS = 21; // arrows along each side of the window
const WINDOW = 0.95; // of the window's half, that they cover
const LONGEST = 1.6; // of an arrow, in spacings

class Field {
  /** @param run a RunModel of points in the plane; @param camera what it is looked at by. */
  constructor(run) {
    this.run = run;
    const { fields, contours } = run.plain;
    this.whyNoExact = fields?.why_not ?? (fields ? "" : "not stored");
    this.whyNoContours = contours?.why_not ?? (contours ? "" : "not stored");
    if (!this.whyNoExact) {
      this.grid = decode(fields.grid).values;
      this.stored = { learned: decode(fields.learned).values, exact: decode(fields.exact).values };
      this.t = fields.t;
      this.inside = fields.inside.map((places) => new Set(places));
    }
    if (!this.whyNoContours) {
      const lines = (levels) => levels.map((level) => level.map((line) => decode(line).values));
      this.contours = { truth: lines(contours.truth), model: lines(contours.model) };
    }
  }

  /** The kinds of arrows there are for this run. */
  get kinds() {
    return [
      ...(this.run.network || !this.whyNoExact ? ["learned"] : []),
      ...(this.whyNoExact ? [] : ["exact", "difference"]),
    ];
  }

  /**
   * Arrows at t: {t, grid, arrows, inside, unit, factor}. Learned ones are the network's own at any t; exact ones
   * are those of the nearest stored level, and so are all where the page does not know the network.
   */
  arrows(kind, t, camera, label, guidance) {
    if (kind === "learned" && this.run.network) return this._live(t, camera, label, guidance);
    const level = this.t.reduce(
      (best, each, k) => (Math.abs(each - t) < Math.abs(this.t[best] - t) ? k : best),
      0,
    );
    const size = this.grid.length;
    const part = (name) => this.stored[name].subarray(level * size, (level + 1) * size);
    const exact = part("exact");
    const inside = this.inside[level];
    if (kind !== "difference") {
      return {
        t: this.t[level],
        grid: this.grid,
        arrows: part(kind),
        inside,
        unit: longest(exact, inside),
        factor: 1,
      };
    }
    const difference = part("learned").map((value, i) => value - exact[i]);
    const ratio = longest(exact, inside) / longest(difference, inside);
    const factor = ratio > 1 && Number.isFinite(ratio) ? roundDown(ratio) : 1;
    const arrows = difference.map((value) => factor * value);
    return { t: this.t[level], grid: this.grid, arrows, inside, unit: longest(exact, inside), factor };
  }

  _live(t, camera, label, guidance) {
    const step = this.run.schedule.nearestStep(t);
    const key = [step, camera.zoom, ...camera.offset, label, guidance].join();
    if (this.key !== key) {
      const grid = new Float64Array(2 * ACROSS * ACROSS);
      for (let i = 0; i < ACROSS; i++) {
        for (let j = 0; j < ACROSS; j++) {
          const share = (k) => (1 - WINDOW) / 2 + (WINDOW * k) / (ACROSS - 1);
          grid.set(camera.unproject(share(i), share(j), 1), 2 * (i * ACROSS + j));
        }
      }
      const arrows = this.run.network.velocity(grid, step, label, guidance);
      this.found = { t: step + 1, grid, arrows, inside: null, unit: longest(arrows, null), factor: 1 };
      this.key = key;
    }
    return this.found;
  }

  /** Draw arrows; faint where the noised data hardly lie. */
  drawArrows(context, found, camera, size) {
    const count = found.grid.length / 2;
    const places = camera.project(found.grid, count, 2, size, new Float64Array(2 * count));
    const ends = camera.project(
      found.grid.map((value, i) => value + found.arrows[i]),
      count,
      2,
      size,
      new Float64Array(2 * count),
    );
    const origin = camera.project(new Float64Array(2), 1, 2, size, new Float64Array(2));
    const unit =
      camera.project(Float64Array.of(found.unit, 0), 1, 2, size, new Float64Array(2))[0] - origin[0];
    const spacing = Math.abs(places[2 * ACROSS] - places[0]) || size / ACROSS;
    const scale = spacing / unit;
    context.lineWidth = Math.max(1, size / 600);
    for (const faint of [true, false]) {
      context.strokeStyle = themeColor(faint ? "arrow-faint" : "arrow");
      context.beginPath();
      for (let i = 0; i < count; i++) {
        if (faint === (found.inside === null || found.inside.has(i))) continue;
        let dx = (ends[2 * i] - places[2 * i]) * scale;
        let dy = (ends[2 * i + 1] - places[2 * i + 1]) * scale;
        const cut = Math.min(1, (LONGEST * spacing) / Math.hypot(dx, dy));
        [dx, dy] = [dx * cut, dy * cut];
        const [x, y] = [places[2 * i] + dx, places[2 * i + 1] + dy];
        context.moveTo(places[2 * i], places[2 * i + 1]);
        context.lineTo(x, y);
        for (const side of [-0.45, 0.45]) {
          context.moveTo(x, y);
          const [cos, sin] = [Math.cos(side), Math.sin(side)];
          context.lineTo(x - 0.35 * (dx * cos - dy * sin), y - 0.35 * (dx * sin + dy * cos));
        }
      }
      context.stroke();
    }
  }

  /** Draw the lines that enclose so much of the truth; the model's dashed. */
  drawContours(context, which, camera, size) {
    for (const name of which) {
      context.strokeStyle = themeColor(name === "truth" ? "contour-truth" : "contour-model");
      context.setLineDash(name === "truth" ? [] : [size / 100, size / 160]);
      this.contours[name].forEach((lines, level) => {
        context.lineWidth = (Math.max(1, size / 450) * (3 - level)) / 2 + 0.5;
        context.beginPath();
        for (const line of lines) {
          const count = line.length / 2;
          const places = camera.project(line, count, 2, size, new Float64Array(2 * count));
          for (let i = 0; i < count; i++) {
            (i === 0 ? context.moveTo : context.lineTo).call(context, places[2 * i], places[2 * i + 1]);
          }
        }
        context.stroke();
      });
    }
    context.setLineDash([]);
  }
}

/** The length that one in twenty arrows exceeds, of those inside; where none are, of all. */
function longest(arrows, inside) {
  const all = Array.from({ length: arrows.length / 2 }, (_, i) => i);
  const some = inside && inside.size ? all.filter((i) => inside.has(i)) : all;
  const lengths = some.map((i) => Math.hypot(arrows[2 * i], arrows[2 * i + 1])).sort((a, b) => a - b);
  return lengths[Math.floor(0.95 * (lengths.length - 1))] || 1;
}

/** To 1, 2 or 5 times a power of ten. */
function roundDown(ratio) {
  const power = 10 ** Math.floor(Math.log10(ratio));
  return Math.max(...[1, 2, 5].filter((each) => each * power <= ratio)) * power;
}
