// Answers each message, so that the page knows a worker started. When the message is shared memory the answer is
// also written there, which only works between isolated contexts.
self.onmessage = (event) => {
  if (event.data instanceof Int32Array) {
    Atomics.add(event.data, 0, 1);
  }
  self.postMessage({ isolated: self.crossOriginIsolated === true });
};
