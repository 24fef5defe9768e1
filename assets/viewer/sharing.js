/**
 * The daemon's streams for all tabs of a browser, which has six connections to a daemon and no more: one stream of records
 * and one of sessions, whatever the number of tabs. Runs in the worker that the tabs share; knows nothing of what is told.
 *
 * Invariants: a tab gets every record after the place that it named, once; one that does not read holds up no other, and
 * what waits for it is bounded: it is told that it is behind, and follows anew from where it is.
 *
 * @module
 */

import * as api from './api.js';

/** Records of a moment go to a tab together. */
const BATCH_MS = 10;
const BATCH_MAX = 500;
/** Characters that may wait for a tab that is asleep. */
const MAX_OWED = 32 * 1024 * 1024;
/** What an event of the sessions is taken for. */
const EVENT_SIZE = 1_000;
/** Tabs that come together are told of the sessions together. */
const GATHER_MS = 50;

/**
 * What a tab says, and what it is told.
 *
 * @typedef {{type: 'flow', turn: number, day: string, at: string, anew: boolean} | {type: 'flow-end'} | {type: 'wake'}
 *   | {type: 'sessions'} | {type: 'sessions-end'} | {type: 'read', size: number} | {type: 'bye'}} Asked
 * @typedef {{type: 'flow', turn: number, size: number, events: [string, string][]} | {type: 'open' | 'lost', turn: number}
 *   | {type: 'stale', turn: number, missed: number} | {type: 'behind'}
 *   | {type: 'sessions', size: number, name: SessionEvent, value: any}} Told
 * @typedef {'onUpsert' | 'onRemove' | 'onComplete' | 'onPeer' | 'onFound' | 'onLost'} SessionEvent
 * @typedef {{postMessage: (message: Told) => void}} Port
 * @typedef {{port: Port, flow: {turn: number, at: string} | null, sessions: boolean, owed: number, batch: [string, string][]}} Tab
 */

/** @param {string} place @returns {[string, string]} how far it is in this machine's files and in the fleet's flow; both sort as text */
function parts(place) {
  const cut = place.indexOf('~');
  return cut < 0 ? [place, ''] : [place.slice(0, cut), place.slice(cut)];
}

/** @param {string} a @param {string} b @returns {string} the place that is as far as the further of both, in each part */
function furthest(a, b) {
  const [[aLocal, aFleet], [bLocal, bFleet]] = [parts(a), parts(b)];
  return (aLocal > bLocal ? aLocal : bLocal) + (aFleet > bFleet ? aFleet : bFleet);
}

/** @param {string} a @param {string} b @returns {string} the one that is as far as the nearer of both, in each part */
function nearest(a, b) {
  const [[aLocal, aFleet], [bLocal, bFleet]] = [parts(a), parts(b)];
  return (aLocal < bLocal ? aLocal : bLocal) + (aFleet < bFleet ? aFleet : bFleet);
}

/** @param {string} before @param {string} after @param {string} at @returns {boolean} whether what came between these places is new for who is there */
function isNew(before, after, at) {
  const [[local, fleet], [toLocal, toFleet], [hereLocal, hereFleet]] = [parts(before), parts(after), parts(at)];
  // An event without a place of its own is told to everybody.
  if (toLocal <= local && toFleet <= fleet) return true;
  return (toLocal > local && toLocal > hereLocal) || (toFleet > fleet && toFleet > hereFleet);
}

/** The streams, and who listens. */
export function createSharing() {
  /** @type {Set<Tab>} */
  const tabs = new Set();
  /** @type {ReturnType<typeof api.openStream> | null} */
  let flow = null;
  /** @type {'opening' | 'open' | 'lost'} */
  let state = 'opening';
  /** How far the stream of records is. */
  let place = '';
  /** @type {ReturnType<typeof api.openSessionEvents> | null} */
  let sessions = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let sending;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let gathering;

  /** @param {Tab} tab @param {number} size @returns {boolean} whether it may be told more */
  function owes(tab, size) {
    tab.owed += size;
    if (tab.owed <= MAX_OWED) return true;
    Object.assign(tab, { flow: null, sessions: false, owed: 0, batch: [] });
    tab.port.postMessage({ type: 'behind' });
    settle();
    return false;
  }

  /** @param {Tab} tab */
  function send(tab) {
    if (tab.flow && tab.batch.length > 0) {
      const size = tab.batch.reduce((sum, [data]) => sum + data.length, 0);
      tab.port.postMessage({ type: 'flow', turn: tab.flow.turn, size, events: tab.batch });
    }
    tab.batch = [];
  }

  function sendAll() {
    clearTimeout(sending);
    sending = undefined;
    for (const tab of tabs) send(tab);
  }

  /** @param {string} data @param {string} id */
  function received(data, id) {
    const to = id === '' ? place : id;
    for (const tab of tabs) {
      if (!tab.flow || !isNew(place, to, tab.flow.at)) continue;
      tab.flow.at = furthest(to, tab.flow.at);
      tab.batch.push([data, tab.flow.at]);
      if (owes(tab, data.length) && tab.batch.length >= BATCH_MAX) send(tab);
    }
    place = to;
    sending ??= setTimeout(sendAll, BATCH_MS);
  }

  /** @param {'open' | 'lost'} type */
  function flowIs(type) {
    state = type;
    sendAll();
    for (const { flow: follows, port } of tabs) if (follows) port.postMessage({ type, turn: follows.turn });
  }

  /** @param {string} day @param {string} from */
  function openFlow(day, from) {
    flow?.close();
    state = 'opening';
    place = from;
    flow = api.openStream(day, from, {
      onRecord: ({ raw, position = '' }) => received(String(raw), position),
      onOpen: () => flowIs('open'),
      onLost: () => flowIs('lost'),
      onStale(missed, to) {
        sendAll();
        // What comes after it went back is before the places of the tabs, who would not be told of it.
        const all = to === '' || nearest(place, to) !== place;
        for (const { flow: follows, port } of tabs) {
          if (follows && (all || isNew('', to, follows.at))) port.postMessage({ type: 'stale', turn: follows.turn, missed });
        }
        place = to;
        if (to !== '') return;
        // A place that is refused is given up: who follows next begins with its own.
        flow?.close();
        flow = null;
      },
    }, (data) => data);
  }

  /** @param {Tab} tab @param {Asked & {type: 'flow'}} asked */
  function follow(tab, { turn, day, at, anew }) {
    send(tab);
    tab.flow = { turn, at };
    // Also where it is only the fleet's or only this machine's part that the stream is past already.
    const past = nearest(place, at) !== place;
    if (!flow || place === '' || at === '' || past) openFlow(at.slice(0, 10) || day, flow && place !== '' ? nearest(place, at) : at);
    else if (anew) flow.reopen();
    else if (state !== 'opening') tab.port.postMessage({ type: state, turn });
  }

  /** @param {SessionEvent} name @param {unknown} [value] */
  function tellSessions(name, value) {
    for (const tab of tabs) {
      if (tab.sessions && owes(tab, EVENT_SIZE)) tab.port.postMessage({ type: 'sessions', size: EVENT_SIZE, name, value });
    }
  }

  function openSessions() {
    gathering = undefined;
    sessions?.close();
    // It begins with all there is, which the others may hear again.
    sessions = api.openSessionEvents({
      onUpsert: (body) => tellSessions('onUpsert', body),
      onRemove: (id) => tellSessions('onRemove', id),
      onComplete: (ids) => tellSessions('onComplete', ids),
      onPeer: () => tellSessions('onPeer'),
      onFound: () => tellSessions('onFound'),
      onLost: (refused) => tellSessions('onLost', refused),
    });
  }

  /** Closes what nobody listens to any more. */
  function settle() {
    const all = [...tabs];
    if (!all.some((tab) => tab.flow)) {
      flow?.close();
      flow = null;
      place = '';
    }
    if (!all.some((tab) => tab.sessions)) {
      clearTimeout(gathering);
      gathering = undefined;
      sessions?.close();
      sessions = null;
    }
  }

  return {
    /** @param {Port} port of a tab that has come @returns {(asked: Asked) => void} what it says is to be told to */
    connect(port) {
      /** @type {Tab} */
      const tab = { port, flow: null, sessions: false, owed: 0, batch: [] };
      return (asked) => {
        tabs.add(tab);
        switch (asked.type) {
          case 'flow': follow(tab, asked); break;
          case 'wake': flow?.wake(); break;
          case 'read': tab.owed = Math.max(0, tab.owed - asked.size); break;
          case 'sessions':
            tab.sessions = true;
            gathering ??= setTimeout(openSessions, GATHER_MS);
            break;
          case 'flow-end':
            tab.flow = null;
            tab.batch = [];
            settle();
            break;
          case 'sessions-end':
            tab.sessions = false;
            settle();
            break;
          case 'bye':
            Object.assign(tab, { flow: null, sessions: false, owed: 0, batch: [] });
            tabs.delete(tab);
            settle();
            break;
        }
      };
    },
  };
}
