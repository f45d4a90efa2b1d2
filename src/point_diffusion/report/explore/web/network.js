/* The run's network and its DDIM sampler, computed here from the averaged weights as networks/mlp.py,
   denoisers.py and samplers/ddim.py do. By hand: a library that runs exported networks (onnxruntime-web) is
   several times as large as the whole page. */

class Network {
  /** @param plain what report/explore/network.py says; @param schedule the run's. */
  constructor(plain, schedule) {
    this.schedule = schedule;
    this.prediction = plain.prediction;
    this.sigmaData = plain.sigma_data;
    this.frequencies = decode(plain.frequencies).values;
    this.layers = plain.layers.map((layer) => ({
      weight: decode(layer.weight).values,
      bias: decode(layer.bias).values,
      inputs: layer.weight.shape[1],
      outputs: layer.weight.shape[0],
    }));
    this.embeddings = plain.embeddings.map((each) => decode(each).values);
    this.classes = (plain.classes ?? []).map((each) => decode(each));
    this.noNumbers = (plain.no_numbers ?? []).map((each) => decode(each).values);
    this.shift = plain.shift;
    this.matrix = plain.matrix;
    this.inverse = plain.inverse;
    this.mean = plain.mean;
    this.dim = plain.shift.length;
  }

  get isConditional() {
    return this.classes.length > 0 || this.noNumbers.length > 0;
  }

  /** Points in the network's units, from the data's own: (p - shift) times the inverse matrix, row by row. */
  toNetwork(points) {
    return this._times(points, this.inverse, this.shift, null);
  }

  /** Points in the data's own units. */
  toData(x) {
    return this._times(x, this.matrix, null, this.shift);
  }

  _times(points, matrix, before, after) {
    const dim = this.dim;
    const out = new Float64Array(points.length);
    for (let row = 0; row < points.length; row += dim) {
      for (let to = 0; to < dim; to++) {
        let sum = after ? after[to] : 0;
        for (let from = 0; from < dim; from++) {
          sum += (points[row + from] - (before ? before[from] : 0)) * matrix[from][to];
        }
        out[row + to] = sum;
      }
    }
    return out;
  }

  /** What the network says of points x, (n dim) numbers, all at one step; a class of -1 is not told. */
  predict(x, step, label = -1) {
    const count = x.length / this.dim;
    let input = this._features(x, count);
    this.layers.forEach((layer, depth) => {
      const isHead = depth === this.layers.length - 1;
      const bias = isHead ? layer.bias : this._bias(depth, layer, step, label);
      input = this._layer(input, layer, bias, count, !isHead);
    });
    return input;
  }

  _features(x, count) {
    const { dim, frequencies } = this;
    const waves = dim * frequencies.length;
    if (waves === 0) return x;
    const width = dim + 2 * waves;
    const out = new Float64Array(count * width);
    for (let i = 0; i < count; i++) {
      for (let column = 0; column < dim; column++) {
        const value = x[i * dim + column];
        out[i * width + column] = value;
        for (let k = 0; k < frequencies.length; k++) {
          const place = i * width + dim + column * frequencies.length + k;
          out[place] = Math.sin(value * frequencies[k]);
          out[place + waves] = Math.cos(value * frequencies[k]);
        }
      }
    }
    return out;
  }

  /** The bias of a hidden layer with what is added for the step and the condition. */
  _bias(depth, layer, step, label) {
    const width = layer.outputs;
    const bias = new Float64Array(width);
    for (let unit = 0; unit < width; unit++) {
      bias[unit] = layer.bias[unit] + this.embeddings[depth][step * width + unit];
      if (this.classes.length) {
        const { shape, values } = this.classes[depth];
        bias[unit] += values[(label < 0 ? shape[0] - 1 : label) * width + unit];
      }
      if (this.noNumbers.length) bias[unit] += this.noNumbers[depth][unit];
    }
    return bias;
  }

  _layer(input, { weight, inputs, outputs }, bias, count, isHidden) {
    const out = new Float64Array(count * outputs);
    for (let i = 0; i < count; i++) {
      const start = i * inputs;
      for (let unit = 0, place = 0; unit < outputs; unit++) {
        let sum = bias[unit];
        for (let k = 0; k < inputs; k++) sum += input[start + k] * weight[place++];
        out[i * outputs + unit] = isHidden && sum < 0 ? 0 : sum;
      }
    }
    return out;
  }

  /** x_0 and epsilon behind points at a step; guided by a class as guidance.py does. */
  denoise(x, step, label = -1, guidance = 1) {
    if (!this.isConditional || label < 0 || guidance === 1) return this._denoise(x, step, label);
    const without = this._denoise(x, step, -1);
    if (guidance === 0) return without;
    const told = this._denoise(x, step, label);
    const mixed = (a, b) => a.map((value, i) => value + guidance * (b[i] - value));
    return { x0: mixed(without.x0, told.x0), epsilon: mixed(without.epsilon, told.epsilon) };
  }

  _denoise(x, step, label) {
    const output = this.predict(x, step, label);
    const { alpha, sigma } = this.schedule.level(step);
    const s = this.sigmaData;
    const w = Math.sqrt(sigma ** 2 + (alpha * s) ** 2);
    // [of x, of the output] in x_0, then in epsilon: see prediction.py
    const weights = {
      epsilon: [1 / alpha, -sigma / alpha, 0, 1],
      sample: [0, 1, 1 / sigma, -alpha / sigma],
      v_prediction: [alpha, -sigma, sigma, alpha],
      flow: [1 / (alpha + sigma), -sigma / (alpha + sigma), 1 / (alpha + sigma), alpha / (alpha + sigma)],
      edm: [(alpha * s ** 2) / w ** 2, (sigma * s) / w, sigma / w ** 2, (-alpha * s) / w],
    }[this.prediction];
    const x0 = new Float64Array(x.length);
    const epsilon = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) {
      x0[i] = weights[0] * x[i] + weights[1] * output[i];
      epsilon[i] = weights[2] * x[i] + weights[3] * output[i];
    }
    return { x0, epsilon };
  }

  /** The velocity towards the data, sigma x_0 - alpha epsilon, at points in the data's own units. */
  velocity(points, step, label = -1, guidance = 1) {
    const { x0, epsilon } = this.denoise(this.toNetwork(points), step, label, guidance);
    const { alpha, sigma } = this.schedule.level(step);
    const towards = x0.map((value, i) => sigma * value - alpha * epsilon[i]);
    return this._times(towards, this.matrix, null, null);
  }

  /**
   * Points followed by DDIM without noise, from a step down to the clean data.
   * @param points in the data's own units, (n dim) numbers.
   * @param steps falling steps, the first the one that the points are at.
   * @returns {t, states}: the number of noise steps in each state, and the points, in the data's own units.
   */
  ddim(points, steps, label = -1, guidance = 1) {
    let x = this.toNetwork(points);
    const t = [steps[0] + 1];
    const states = [Float64Array.from(points)];
    steps.forEach((step, place) => {
      const next = place + 1 < steps.length ? steps[place + 1] : -1;
      const { x0, epsilon } = this.denoise(x, step, label, guidance);
      const to = this.schedule.level(next);
      x = x0.map((value, i) => to.alpha * value + to.sigma * epsilon[i]);
      t.push(next + 1);
      states.push(this.toData(x));
    });
    return { t, states };
  }
}
