/**
 * Draws the views, each only when it has something to draw: when a part of the state that it read is another than when it
 * was drawn last. Nobody lists what a view depends on; what it reads is noted while it draws. A view whose page is not
 * shown reads where the reader is and nothing else, and so does nothing until that changes.
 *
 * Invariant: what a view shows follows from what it read, of the state alone; who changes anything else has all drawn.
 * A view that throws keeps no other from being drawn.
 *
 * @module
 */

/** @typedef {import('./types.js').State} State */
/** @typedef {{render: (state: State) => void}} View */

/**
 * @param {readonly View[]} views
 * @param {(error: unknown) => void} failed told why a view could not be drawn
 * @returns {(state: State, all?: boolean) => boolean} draws, all views where that is asked for; whether any was drawn
 */
export function createDrawing(views, failed) {
  /** What each view has read since the reader came to the page. @type {Map<keyof State, unknown>[]} */
  const read = views.map(() => new Map());
  /** @type {State['place'] | null} */
  let place = null;

  return (state, all = false) => {
    const moved = place?.route.page !== state.place.route.page;
    place = state.place;
    let any = false;
    for (const [at, view] of views.entries()) {
      if (moved || all) read[at] = new Map();
      else if (sameAs(read[at], state)) continue;
      any = true;
      try {
        view.render(noting(state, read[at]));
      } catch (error) {
        failed(error);
      }
      // What was read earlier and not now still stands on the page.
      for (const key of read[at].keys()) read[at].set(key, state[key]);
    }
    return any;
  };
}

/**
 * A view of some pages, made when one of them is first shown: what is shown first does not wait for the others.
 *
 * @param {readonly State['place']['route']['page'][]} pages @param {() => View} make @returns {View}
 */
export function onPages(pages, make) {
  /** @type {View | null} */
  let view = null;
  return {
    render(state) {
      if (!view && !pages.includes(state.place.route.page)) return;
      view ??= make();
      view.render(state);
    },
  };
}

/** @param {ReadonlyMap<keyof State, unknown>} seen @param {State} state */
function sameAs(seen, state) {
  for (const [key, value] of seen) if (state[key] !== value) return false;
  return true;
}

/** @param {State} state @param {Map<keyof State, unknown>} seen @returns {State} the same state, which notes what is read of it */
function noting(state, seen) {
  return new Proxy(state, {
    get(target, key) {
      const name = /** @type {keyof State} */ (key);
      seen.set(name, target[name]);
      return target[name];
    },
  });
}
