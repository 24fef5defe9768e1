/**
 * What the reader does to jobs, machines and the queue: asks first where something would be lost, does it, says what
 * became of it, and has the queue looked at again.
 *
 * @module
 */

import * as act from './act.js';

/** @typedef {import('./views/ask.js').Question} Question */

/**
 * @param {ReturnType<typeof import('./control.js').createControl>} control
 * @param {import('./control.js').Ask} ask
 * @param {() => void} changed
 */
export function createQueueControl(control, ask, changed) {
  /** @param {Question | null} question @param {() => Promise<unknown>} work @param {string} failed @param {string} done */
  async function perform(question, work, failed, done) {
    if (question && await ask(question) === null) return;
    if (await control.attempt(work, failed) === null) return;
    control.say(done, 'note');
    changed();
  }

  return {
    /** @param {string} id @param {'cancel' | 'retry' | 'offer'} what to offer is to retry what has not begun */
    jobAct(id, what) {
      const question = what === 'cancel' ? { title: 'Cancel this job?', text: `${id}: at once where it has not started, else its runner ends it.`, yes: 'Cancel the job' } : null;
      const done = { cancel: 'The job is being cancelled.', retry: 'The job is in the queue again.', offer: 'The job is offered again to those that refused it.' };
      return perform(question, () => act.jobAction(id, what === 'offer' ? 'retry' : what), `Could not ${what} the job`, done[what]);
    },
    /** @param {string} entry @param {'requeue' | 'drop'} what */
    letterAct(entry, what) {
      const question = what === 'drop' ? { title: 'Drop this dead letter?', text: 'It is taken away; its job stays until its time.', yes: 'Drop it' } : null;
      return perform(question, () => act.letterAction(entry, what), `Could not ${what} it`, what === 'drop' ? 'The dead letter is gone.' : 'Its job is in the queue again.');
    },
    /** @param {'pause' | 'resume'} what */
    queueAct(what) {
      const question = what === 'pause' ? { title: 'Pause the queue?', text: 'No more jobs are handed out, on any machine. Running ones go on.', yes: 'Pause it' } : null;
      return perform(question, () => act.queueAction(what), `Could not ${what} the queue`, what === 'pause' ? 'The queue is paused.' : 'The queue hands out jobs.');
    },
    /** @param {string} machine @param {'drain' | 'undrain'} what */
    machineAct(machine, what) {
      const question = what === 'drain' ? { title: 'Drain this machine?', text: `${machine} gets no more jobs. Running ones go on.`, yes: 'Drain it' } : null;
      return perform(question, () => act.machineAction(machine, what), `Could not ${what} it`, what === 'drain' ? `${machine} gets no more jobs.` : `${machine} gets jobs again.`);
    },
  };
}
