/* Typed arrays from the text that report/explore/arrays.py makes. */

/** The numbers of an encoded array: {shape, values}; quantized ones as Float32Array in their own units. */
function decode(plain) {
  const raw = atob(plain.data);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  if (plain.type === "f4") return { shape: plain.shape, values: new Float32Array(bytes.buffer) };
  const counts = new Uint16Array(bytes.buffer);
  if (!plain.low) return { shape: plain.shape, values: counts };
  const columns = plain.low.length;
  const values = new Float32Array(counts.length);
  for (let i = 0; i < counts.length; i++) {
    const column = i % columns;
    values[i] = plain.low[column] + plain.step[column] * counts[i];
  }
  return { shape: plain.shape, values };
}

/** A function that decodes once, when it is first asked: most trajectories are never looked at. */
function lazily(plain) {
  let found = null;
  return () => (found ??= decode(plain));
}
