/* From the data's own units to a panel's pixels, and back: a window in the plane, a turned space, or a line. */

const UNLIKE = 5; // times: columns whose widths differ by more have a scale each
const TURN = 0.01; // radians a pixel

class Camera {
  /** @param center, half of the window, one for each column; @param columns those along its axes. */
  constructor(center, half, columns) {
    this.centers = center;
    this.halves = half;
    this.show(columns);
  }

  /** Look at these columns, from the front. */
  show(columns) {
    this.columns = columns;
    const halves = columns.map((column) => this.halves[column]);
    const alike = Math.max(...halves) < UNLIKE * Math.min(...halves);
    this.scales = alike ? halves.map(() => Math.max(...halves)) : halves;
    this.reset();
  }

  get isSpace() {
    return this.columns.length === 3;
  }

  /** The whole window again. */
  reset() {
    this.zoom = 1;
    this.offset = [0, 0]; // of the window's middle, in halves
    this.yaw = 0.6;
    this.pitch = 0.35;
  }

  /** Turn a space by so many pixels of a drag. */
  turn(dx, dy) {
    this.yaw += dx * TURN;
    this.pitch = Math.min(Math.max(this.pitch + dy * TURN, -Math.PI / 2), Math.PI / 2);
  }

  /** Zoom by a factor, so that the place below a pixel stays where it is. */
  zoomAt(factor, x, y, size) {
    const before = this._window(x, y, size);
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), 50);
    const after = this._window(x, y, size);
    this.offset = this.offset.map((value, axis) => value + before[axis] - after[axis]);
  }

  /** Zoom to a rectangle of pixels. */
  zoomTo(left, top, right, bottom, size) {
    const middle = this._window((left + right) / 2, (top + bottom) / 2, size);
    this.zoom = Math.min((this.zoom * size) / Math.max(right - left, bottom - top), 50);
    this.offset = middle;
  }

  /** A pixel as a place of the window, from -1 to 1 where it is whole. */
  _window(x, y, size) {
    const half = size / 2;
    return [this.offset[0] + (x - half) / half / this.zoom, this.offset[1] - (y - half) / half / this.zoom];
  }

  /** Points, (n dim) numbers, as pixels: x and y in turn into `out`. */
  project(values, count, dim, size, out) {
    const [first, second, third] = this.columns;
    const half = (size / 2) * this.zoom;
    const middle = size / 2;
    const [ox, oy] = this.offset;
    const a = 1 / this.scales[0];
    const ca = this.centers[first];
    if (second === undefined) {
      for (let i = 0; i < count; i++) {
        out[2 * i] = middle + half * ((values[i * dim + first] - ca) * a - ox);
        out[2 * i + 1] = middle - half * (((i * 0.618034) % 1) - 0.5 - oy); // spread over the height
      }
      return out;
    }
    const b = 1 / this.scales[1];
    const cb = this.centers[second];
    if (third === undefined) {
      for (let i = 0; i < count; i++) {
        out[2 * i] = middle + half * ((values[i * dim + first] - ca) * a - ox);
        out[2 * i + 1] = middle - half * ((values[i * dim + second] - cb) * b - oy);
      }
      return out;
    }
    const c = 1 / this.scales[2];
    const cc = this.centers[third];
    const [cos, sin, up, along] = [
      Math.cos(this.yaw),
      Math.sin(this.yaw),
      Math.cos(this.pitch),
      Math.sin(this.pitch),
    ];
    for (let i = 0; i < count; i++) {
      const x = (values[i * dim + first] - ca) * a;
      const y = (values[i * dim + second] - cb) * b;
      const z = (values[i * dim + third] - cc) * c;
      const depth = y * cos - x * sin;
      out[2 * i] = middle + half * (x * cos + y * sin - ox);
      out[2 * i + 1] = middle - half * (z * up + depth * along - oy);
    }
    return out;
  }

  /** The values of the shown columns at a pixel; in space on the plane through its middle that faces the eye. */
  unproject(x, y, size) {
    const [u, v] = this._window(x, y, size);
    if (!this.isSpace)
      return this.columns.map((column, axis) => this.centers[column] + this.scales[axis] * [u, v][axis]);
    const [cos, sin, up, along] = [
      Math.cos(this.yaw),
      Math.sin(this.yaw),
      Math.cos(this.pitch),
      Math.sin(this.pitch),
    ];
    const place = [u * cos - v * along * sin, u * sin + v * along * cos, v * up];
    return this.columns.map((column, axis) => this.centers[column] + this.scales[axis] * place[axis]);
  }

  /** The ends of the axes of a space as pixels, from its corner. */
  axes(size) {
    const dim = this.centers.length;
    const corner = this.columns.map((column, axis) => this.centers[column] - 0.55 * this.scales[axis]);
    return this.columns.map((_, axis) => {
      const ends = new Float64Array(2 * dim);
      this.columns.forEach((column, place) => {
        ends[column] = corner[place];
        ends[dim + column] = corner[place] + (place === axis ? 1.1 * this.scales[place] : 0);
      });
      return this.project(ends, 2, dim, size, new Float64Array(4));
    });
  }
}
