// Calls a function once things have been quiet for a while.
export function debounce(action, wait = 200) {
  let timer = null;

  function debounced(...args) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      action(...args);
    }, wait);
  }

  debounced.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };

  debounced.pending = () => timer !== null;

  return debounced;
}

// Calls a function at most once per interval.
export function throttle(action, interval = 200) {
  let last = 0;
  return (...args) => {
    const now = Date.now();
    if (now - last >= interval) {
      last = now;
      action(...args);
    }
  };
}
