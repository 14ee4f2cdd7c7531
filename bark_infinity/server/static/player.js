// Plays the segments of the open job one after the other, also while later ones are still made.

import { ofJob } from "./api.js";
import { $ } from "./dom.js";
import { state } from "./state.js";

const MOST_GAP_S = 3; // of the silence between segments that is kept

/** Event "change": what is played, or whether, is another. Event "time": the place in the sound has moved. */
class Player extends EventTarget {
  index = null; // of the segment that is played, or would be
  clip = 0; // whose segments are played
  isPlaying = false;
  isWaiting = false; // for a segment that is not made yet
  #only = false; // whether it stops after this segment
  #sounds = [$("sound-a"), $("sound-b")]; // the one that is heard, and the one that loads the next segment
  #gap = 0;

  constructor() {
    super();
    for (const sound of this.#sounds) {
      sound.addEventListener("ended", () => sound === this.#sounds[0] && this.#ended());
      sound.addEventListener("timeupdate", () => sound === this.#sounds[0] && this.#tell("time"));
      sound.addEventListener("pause", () => {
        if (sound === this.#sounds[0] && this.isPlaying && !sound.ended && !this.#gap) this.pause(); // by a headset, say
      });
    }
    state.addEventListener("segments", () => this.isWaiting && this.play(this.index));
    navigator.mediaSession?.setActionHandler("previoustrack", () => this.step(-1));
    navigator.mediaSession?.setActionHandler("nexttrack", () => this.step(1));
  }

  get segment() {
    return state.segments[this.index];
  }

  /** Seconds from the beginning of the clip. */
  get time() {
    const at = this.#sounds[0].dataset.index === String(this.index) ? this.#sounds[0].currentTime : 0;
    return (this.segment?.start ?? 0) + at;
  }

  /** Forget everything: another job or clip is shown. */
  clear(clip = 0) {
    this.clip = clip;
    this.pause();
    this.index = null;
    for (const sound of this.#sounds) this.#unload(sound);
    this.#tell("change");
  }

  /** Choose a segment; if something is playing, go on from there. */
  choose(index) {
    if (this.isPlaying && !this.#only) return this.play(index);
    if (index !== this.index) {
      this.pause();
      this.#unload(this.#sounds[0]);
      this.index = index;
    }
    this.#tell("change");
  }

  step(by) {
    const index = this.index === null ? this.#first : this.index + by;
    if (state.segments[index]?.clip === this.clip) this.choose(index);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play(this.index ?? this.#first);
  }

  pause() {
    clearTimeout(this.#gap);
    this.#gap = 0;
    this.isPlaying = this.isWaiting = false;
    for (const sound of this.#sounds) sound.pause();
    this.#tell("change");
  }

  /** Play from a segment on. `only`: no other after it; `at`: seconds in it; `take`: another than the chosen one. */
  async play(index, { only = false, at = null, take = null } = {}) {
    const segment = state.segments[index];
    clearTimeout(this.#gap);
    this.#gap = 0;
    if (!segment) return this.pause();
    this.index = index;
    this.#only = only;
    this.isPlaying = true;
    this.isWaiting = segment.state === "waiting";
    if (this.isWaiting) {
      this.#sounds[0].pause();
      return this.#tell("change");
    }
    if (segment.state !== "made") return this.#ended();
    const address = this.#address(segment, take);
    if (this.#sounds[1].dataset.address === address) this.#sounds.reverse();
    this.#sounds[1].pause();
    const [sound] = this.#sounds;
    if (sound.dataset.address !== address) this.#load(sound, address, index);
    if (at !== null || sound.ended) sound.currentTime = at ?? 0;
    this.#tell("change");
    try {
      await sound.play();
      this.#loadNext();
    } catch (error) {
      if (error.name === "AbortError") return; // another one is played by now
      this.pause();
      this.dispatchEvent(new CustomEvent("failed"));
    }
  }

  /** Go to a place in the clip, in seconds. */
  seek(seconds) {
    const own = state.segments.filter(segment => segment?.clip === this.clip && segment.start !== null && segment.state === "made");
    const segment = own.findLast(one => one.start <= seconds) ?? own[0];
    if (!segment) return;
    const at = Math.max(0, Math.min(seconds - segment.start, segment.seconds - 0.05));
    if (this.isPlaying) this.play(segment.index, { at });
    else {
      this.index = segment.index;
      this.#load(this.#sounds[0], this.#address(segment, null), segment.index);
      this.#sounds[0].currentTime = at;
      this.#tell("change");
    }
  }

  #address(segment, take) {
    const asked = new URLSearchParams({ revision: segment.revision });
    if (take !== null) asked.set("take", take);
    return `${ofJob(state.openId, "segments", segment.index, "audio")}?${asked}`;
  }

  #load(sound, address, index) {
    sound.dataset.address = address;
    sound.dataset.index = index;
    sound.src = address;
  }

  #unload(sound) {
    sound.removeAttribute("src");
    delete sound.dataset.address;
    delete sound.dataset.index;
  }

  #loadNext() {
    const next = this.#next();
    if (this.#only || next?.state !== "made") return;
    const [, other] = this.#sounds, address = this.#address(next, null);
    if (other.dataset.address === address) return;
    other.preload = "auto";
    this.#load(other, address, next.index);
  }

  get #first() {
    return state.segments.findIndex(segment => segment?.clip === this.clip);
  }

  #next() {
    const next = state.segments[this.index + 1];
    return next?.clip === this.clip ? next : undefined;
  }

  #ended() {
    const next = this.#next(), now = this.segment;
    if (this.#only || !next) return this.pause();
    const gap = next.start !== null && now.start !== null ? next.start - now.start - (now.seconds ?? 0) : 0;
    this.#gap = setTimeout(() => this.play(next.index), 1000 * Math.max(0, Math.min(gap, MOST_GAP_S)));
  }

  #tell(name) {
    this.dispatchEvent(new CustomEvent(name));
  }
}

export const player = new Player();
