/* Points that are released at a place and followed: by the network itself, or, where this page does not know it,
   those of the moving points that are nearest. */

const RELEASED = 24; // points at a place
const REACH = 0.02; // of the window's half: how far they are apart

/** Ways from a place: {t, states}, states of (n columns) numbers; `columns` of the run's, as they are stored. */
function release(run, trajectory, place, shownColumns, t, label, guidance) {
  if (!run.network) return nearestWays(run, trajectory, place, shownColumns, t);
  const { network, plain } = run;
  const starts = new Float64Array(RELEASED * network.dim);
  const mean = network.toData(Float64Array.from(network.mean));
  for (let i = 0; i < RELEASED; i++) {
    starts.set(mean, i * network.dim); // of the columns that are not shown
    const radius = i === 0 ? 0 : REACH * Math.sqrt(i / RELEASED);
    const angle = i * 2.399963; // radians, a sunflower's
    shownColumns.forEach((column, axis) => {
      const wave = axis === 0 ? Math.cos(angle) : axis === 1 ? Math.sin(angle) : Math.cos(3 * angle);
      starts[i * network.dim + plain.columns[column]] = place[axis] + radius * wave * plain.half[column];
    });
  }
  const last = run.schedule.nearestStep(t);
  const steps = Array.from({ length: last + 1 }, (_, k) => last - k);
  const found = network.ddim(starts, steps, label, guidance);
  const columnsOf = (state) => {
    const out = new Float32Array(RELEASED * run.width);
    for (let i = 0; i < RELEASED; i++) {
      plain.columns.forEach((column, to) => {
        out[i * run.width + to] = state[i * network.dim + column];
      });
    }
    return out;
  };
  return { t: found.t, states: found.states.map(columnsOf), byNetwork: true };
}

function nearestWays(run, trajectory, place, shownColumns, t) {
  const now = trajectory.at(t, new Float32Array(run.count * run.width));
  const distance = (i) =>
    shownColumns.reduce((sum, column, axis) => {
      const far = (now[i * run.width + column] - place[axis]) / run.plain.half[column];
      return sum + far * far;
    }, 0);
  const chosen = Array.from({ length: run.count }, (_, i) => i)
    .sort((a, b) => distance(a) - distance(b))
    .slice(0, Math.min(RELEASED, run.count));
  const falls = trajectory.t[0] > trajectory.t[trajectory.t.length - 1];
  const places = trajectory.t.map((_, k) => k).filter((k) => trajectory.t[k] <= t);
  if (!falls) places.reverse();
  const states = [now, ...places.map((k) => trajectory.state(k))].map((state) => {
    const out = new Float32Array(chosen.length * run.width);
    chosen.forEach((i, to) => out.set(state.subarray(i * run.width, (i + 1) * run.width), to * run.width));
    return out;
  });
  return { t: [t, ...places.map((k) => trajectory.t[k])], states, byNetwork: false };
}

/** The released points with so many noise steps in them; where they were released, above that. */
function releasedAt(ways, t) {
  let after = ways.t.findIndex((each) => each <= t);
  if (after < 0) after = ways.t.length - 1;
  if (after === 0) return { places: ways.states[0], passed: 0 };
  const [from, to] = [ways.states[after - 1], ways.states[after]];
  const share = (ways.t[after - 1] - t) / (ways.t[after - 1] - ways.t[after] || 1);
  return { places: from.map((value, i) => value + share * (to[i] - value)), passed: after };
}

/** Draw the ways so far as lines, and where the points are. */
function drawReleased(context, camera, ways, t, width, size) {
  const { places, passed } = releasedAt(ways, t);
  const count = places.length / width;
  const shown = [...ways.states.slice(0, passed), places].map((state) =>
    camera.project(state, count, width, size, new Float64Array(2 * count)),
  );
  context.lineWidth = Math.max(1, size / 500);
  context.strokeStyle = themeColor("way");
  context.beginPath();
  for (let i = 0; i < count; i++) {
    shown.forEach((state, k) =>
      (k === 0 ? context.moveTo : context.lineTo).call(context, state[2 * i], state[2 * i + 1]),
    );
  }
  context.stroke();
  const now = shown[shown.length - 1];
  context.fillStyle = themeColor("way");
  context.strokeStyle = themeColor("ground");
  for (let i = 0; i < count; i++) {
    context.beginPath();
    context.arc(now[2 * i], now[2 * i + 1], size / 150, 0, 7);
    context.fill();
    context.stroke();
  }
}
