/* Colours: those of Okabe & Ito (2008), which people who are colour-blind can tell apart, and the theme's. */

const QUALITATIVE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#A89C00", "#8C6BB1"];
// in the order of their hue, to be gone round for an angle
const AROUND = ["#0072B2", "#56B4E9", "#009E73", "#A8B400", "#E69F00", "#D55E00", "#CC79A7", "#7B68C4"].map(
  rgbOf,
);
const PARTS = 256;

function rgbOf(hex) {
  return [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
}

/** A colour as ImageData holds it in a Uint32Array, on a little-endian machine. */
function packed([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Colours all around a circle, packed. */
const CIRCLE = Uint32Array.from({ length: PARTS }, (_, part) => packed(around(part / PARTS)));

/** The colour at a share of the circle, interpolated between its neighbours. */
function around(share) {
  const place = (((share % 1) + 1) % 1) * AROUND.length;
  const first = Math.floor(place) % AROUND.length;
  const next = AROUND[(first + 1) % AROUND.length];
  const weight = place - Math.floor(place);
  return AROUND[first].map((value, channel) => Math.round(value + weight * (next[channel] - value)));
}

/** The colour of a class, as [red, green, blue]. */
function classRgb(index, count) {
  return count <= QUALITATIVE.length ? rgbOf(QUALITATIVE[index]) : around(index / count);
}

/** For each point a packed colour by its class. */
function colorsByClass(classes, count) {
  const known = Array.from({ length: count }, (_, index) => packed(classRgb(index, count)));
  return Uint32Array.from(classes, (index) => known[index]);
}

/** For each point a packed colour by its angle around the centre; of a line by its place on it. */
function colorsByAngle(values, count, dim, center, half) {
  const colors = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const x = (values[i * dim] - center[0]) / half[0];
    const share =
      dim === 1
        ? (x + 1) / 2.5
        : Math.atan2((values[i * dim + 1] - center[1]) / half[1], x) / (2 * Math.PI) + 1;
    colors[i] = CIRCLE[Math.floor((((share % 1) + 1) % 1) * PARTS) % PARTS];
  }
  return colors;
}

/** A colour of the theme. */
function themeColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** The colour of a run among several, or of a line of a chart. */
function lineColor(index) {
  return QUALITATIVE[index % QUALITATIVE.length];
}
