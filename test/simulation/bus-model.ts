/** The model of the bus: what is put on it is lost, late, twice or out of order, acknowledgements as well. It can be stopped, and emptied. */
import type { Announcement, Bus } from '../../src/coherence/ports.ts';
import type { Network } from './network.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

export interface BusListener {
  heard(announcement: Announcement): void;
  acknowledged(announcement: Announcement, by: string): void;
}

export interface BusFaults {
  readonly lost: number;
  readonly twice: number;
  /** how many are late by up to `lateMs` */
  readonly late: number;
  readonly lateMs: number;
}

interface Member extends BusListener {
  readonly nodeId: string;
  readonly process: Process;
}

const BUS = 'bus';

export class BusModel {
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #members = new Set<Member>();
  #faults: BusFaults = { lost: 0, twice: 0, late: 0, lateMs: 0 };
  #isStopped = false;
  /** how often it was emptied */
  #wipes = 0;

  constructor(scheduler: Scheduler, network: Network) {
    this.#scheduler = scheduler;
    this.#network = network;
  }

  set faults(faults: BusFaults) {
    this.#faults = faults;
  }

  set isStopped(isStopped: boolean) {
    this.#scheduler.note(`bus ${isStopped ? 'stops' : 'runs'}`);
    this.#isStopped = isStopped;
  }

  wipe(): void {
    this.#scheduler.note('bus wiped');
    this.#wipes++;
  }

  join(process: Process, nodeId: string, listener: BusListener): Bus {
    for (const member of this.#members) if (!member.process.isAlive) this.#members.delete(member);
    this.#members.add({ process, nodeId, heard: listener.heard, acknowledged: listener.acknowledged });
    return {
      publish: (announcement) =>
        this.#send(
          process,
          (member) => member.process !== process && (() => member.heard(announcement)),
          `change ${announcement.entry.seq}`,
        ),
      acknowledge: (announcement, by) =>
        this.#send(
          process,
          (member) => member.nodeId === announcement.from && (() => member.acknowledged(announcement, by)),
          `acknowledgement of ${announcement.entry.seq} by ${process.name}`,
        ),
    };
  }

  /** Whoever is there when it arrives gets it, also who was not when it was sent. */
  #send(from: Process, deliveryTo: (member: Member) => false | (() => void), what: string): void {
    const { random } = this.#scheduler;
    const { lost, twice, late, lateMs } = this.#faults;
    const copies = random.chance(twice) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const there = this.#network.way(from.machine, BUS);
      if (this.#isStopped || there === undefined || random.chance(lost)) continue;
      const wipes = this.#wipes;
      const arrive = () => {
        if (this.#isStopped || wipes !== this.#wipes) return;
        for (const member of this.#members) {
          const delivery = deliveryTo(member);
          const back = this.#network.way(BUS, member.process.machine);
          if (!delivery || back === undefined || random.chance(lost)) continue;
          this.#scheduler.after(back + (random.chance(late) ? random.between(0, lateMs) : 0), () => {
            if (!member.process.isAlive) return;
            this.#scheduler.note(`bus: ${what} to ${member.process.name}`);
            member.process.enter(delivery);
          });
        }
      };
      this.#scheduler.after(there + (random.chance(late) ? random.between(0, lateMs) : 0), arrive);
    }
  }
}
