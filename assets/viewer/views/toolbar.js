/**
 * The bar over everything: whose machine this is, and what the tab is called.
 *
 * @module
 */

import { called } from '../called.js';
import { oneLine, sanitize } from '../sanitize.js';
import { byId, setText } from './dom.js';

/** @typedef {import('../types.js').State} State */

const MAX_NAME = 64;
/** @type {{[page: string]: string}} */
const TITLES = { fleet: 'Fleet', flow: '', queue: 'Queue', sessions: 'Sessions', inbox: 'Inbox' };

export function createToolbar() {
  const machine = byId('machine-id', HTMLElement);

  return {
    /** @param {State} state */
    render(state) {
      const id = oneLine(state.machine?.id ?? '', MAX_NAME);
      setText(machine, id);
      const { page, id: what, day } = state.place.route;
      const session = page === 'session' ? state.sessions.find((one) => one.id === what) : undefined;
      const title = session ? called(session) : TITLES[page] ?? oneLine(what, MAX_NAME);
      document.title = sanitize([title || day, id, 'darkmux'].filter(Boolean).join(' · '));
    },
  };
}
