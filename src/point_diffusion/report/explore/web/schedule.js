/* Noise levels of a run: x_t = alpha x_0 + sigma epsilon. */

class Schedule {
  /** @param plain what report/explore/settings.py says: alpha and sigma of each step, from the first on. */
  constructor(plain) {
    this.alpha = plain.alpha;
    this.sigma = plain.sigma;
    this.numStep = plain.alpha.length;
  }

  /** The level of a step as samplers count, from 0; -1 is the clean data. */
  level(step) {
    return step < 0 ? { alpha: 1, sigma: 0 } : { alpha: this.alpha[step], sigma: this.sigma[step] };
  }

  /** The step that a network is asked at where so many noise steps, maybe between two, are in the points. */
  nearestStep(t) {
    return Math.min(Math.max(Math.round(t) - 1, 0), this.numStep - 1);
  }

  /** So many steps from one down to the first, evenly, as timestep_spacing.py has them. */
  evenSteps(last, count) {
    const most = Math.min(count, last + 1);
    if (most === 1) return [last];
    return Array.from({ length: most }, (_, k) =>
      Math.floor((2 * (most - 1 - k) * last + most - 1) / (2 * (most - 1))),
    );
  }
}
