/* One run of the page: its trajectories, and where its points are at any t. */

const OWN = ""; // stands for the sampler that each run has by itself

class RunModel {
  /** @param plain one of the content's runs. */
  constructor(plain) {
    this.plain = plain;
    this.title = plain.title;
    this.names = plain.names;
    this.classes = plain.classes;
    this.width = plain.names.length; // columns that are stored
    this.schedule = new Schedule(plain.schedule);
    this.numStep = this.schedule.numStep;
    this.truth = decode(plain.truth).values;
    this.trajectories = plain.trajectories.map((each) => new Trajectory(each));
    this.forward = new Trajectory(plain.forward);
    this.count = plain.forward.states.shape[1];
    this.sampleClasses = plain.sample_classes ? decode(plain.sample_classes).values : null;
    this.forwardClasses = plain.forward_classes ? decode(plain.forward_classes).values : null;
    this.network = plain.network && !plain.network.why_not ? new Network(plain.network, this.schedule) : null;
    this.whyNoNetwork = this.network
      ? ""
      : (plain.network?.why_not ?? "many runs are shown by their trajectories alone");
  }

  get own() {
    return this.trajectories[0];
  }

  /** The trajectory of a sampler's title, a number of calls and a guidance; the run's own where there is none. */
  trajectory(title, calls, guidance = null) {
    const [wanted, count] = title === OWN ? [this.own.title, this.own.calls] : [title, calls];
    const fits = (each) => each.title === wanted && each.calls === count;
    return (
      this.trajectories.find((each) => fits(each) && each.guidance === guidance) ??
      this.trajectories.find(fits) ??
      this.own
    );
  }

  /** The guidances of the run's own sampler. */
  get guidances() {
    const own = this.trajectories.filter(
      (each) => each.title === this.own.title && each.calls === this.own.calls,
    );
    return own.map((each) => each.guidance).sort((a, b) => a - b);
  }

  /** A colour for each point: by its class, or by where it ends, as an angle around the centre. */
  colors(trajectory, byClass) {
    const classes = trajectory === this.forward ? this.forwardClasses : this.sampleClasses;
    if (byClass && classes) return colorsByClass(classes, this.classes.length);
    return (trajectory.colors ??= colorsByAngle(
      trajectory === this.forward ? trajectory.state(0) : trajectory.end,
      this.count,
      this.width,
      this.plain.center,
      this.plain.half,
    ));
  }
}

class Trajectory {
  /** @param plain what report/explore/movement.py says. */
  constructor(plain) {
    this.plain = plain;
    this.name = plain.name;
    this.title = plain.options ? `${plain.name} (${plain.options})` : plain.name;
    this.calls = plain.calls;
    this.guidance = plain.guidance;
    this.t = plain.t;
    this.figures = plain.figures;
    this._states = lazily(plain.states);
    [, this.count, this.width] = plain.states.shape;
    this.strays = plain.strays ? decode(plain.strays).values : null;
  }

  /** The points of a stored state, (n columns) numbers. */
  state(place) {
    const size = this.count * this.width;
    return this._states().values.subarray(place * size, (place + 1) * size);
  }

  /** The samples. */
  get end() {
    return this.state(this.t.length - 1);
  }

  /** The points with so many noise steps in them, between two states on the straight line; into `out`. */
  at(t, out) {
    const times = this.t;
    const falls = times[0] > times[times.length - 1];
    let after = times.findIndex((each) => (falls ? each <= t : each >= t));
    if (after < 0) after = times.length - 1;
    const before = Math.max(after - 1, 0);
    const [from, to] = [this.state(before), this.state(after)];
    const span = times[after] - times[before];
    const share = span === 0 ? 1 : Math.min(Math.max((t - times[before]) / span, 0), 1);
    for (let i = 0; i < out.length; i++) out[i] = from[i] + share * (to[i] - from[i]);
    return out;
  }
}
