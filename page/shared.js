"use strict";
/* What both pages have: settings in the address, and sliders over which a finger may scroll. */

const SURE = 8; // pixels that a finger goes sideways before it is taken to move a slider

const element = (id) => document.getElementById(id);

// The address

let ownHash = null; // what the page itself has just put into the address

/** Put settings into the address, and show all of it, to be copied; return what there is to say of it. */
function putIntoAddress(settings) {
  // Whole, since a fragment alone is one of the outer page's where a frame has its text from "srcdoc".
  const address = `${location.href.split("#")[0]}#${settings}`;
  try {
    window.history.replaceState(null, "", address);
  } catch {
    // Some frames refuse it. The other way tells the page of a change, which is none.
    const before = location.hash;
    location.replace(address);
    if (location.hash !== before) ownHash = location.hash;
  }
  element("the-link").hidden = false;
  element("link-field").value = location.href;
  if (location.protocol === "about:") return "This frame has no address of its own: the link cannot be opened elsewhere.";
  return window.parent === window ? "The address of this page now has them: copy it." : "The link has them: copy it.";
}

/** Call `take` when a reader has changed the address. */
function whenAddressChanges(take) {
  addEventListener("hashchange", () => {
    const isOwn = location.hash === ownHash;
    ownHash = null;
    if (!isOwn) take();
  });
}

/** Copy the link that is shown; return what there is to say of it. */
async function copyLink() {
  const field = element("link-field");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Not everywhere a page may do this; then the older way, or the reader's own hand.
    if (!document.execCommand("copy")) return "The link is selected: copy it.";
  }
  return "The link is copied.";
}

// Sliders

/** Let a finger that scrolls the page over a slider change nothing.
 *
 * A browser moves a slider as soon as a finger comes down on it, and learns only then that it scrolls. So
 * nothing hears of the move before the finger has gone sideways or is lifted; and if it scrolls, the slider
 * goes back.
 */
function watchSliders() {
  let held = null; // {slider, before, x, y, isSure}
  const tell = () => {
    held.isSure = true;
    if (held.slider.value !== held.before) held.slider.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const watch = {
    pointerdown({ target, pointerType, isPrimary, clientX: x, clientY: y }) {
      if (!isPrimary) return;
      const isHeld = pointerType === "touch" && target.type === "range";
      held = isHeld ? { slider: target, before: target.value, x, y, isSure: false } : null;
    },
    input(event) {
      if (event.target === held?.slider && !held.isSure) event.stopImmediatePropagation();
    },
    pointermove({ target, clientX, clientY }) {
      if (target !== held?.slider || held.isSure) return;
      const across = Math.abs(clientX - held.x);
      if (across > SURE && across > Math.abs(clientY - held.y)) tell();
    },
    pointerup({ target }) {
      if (target !== held?.slider) return;
      if (!held.isSure) tell();
      held = null;
    },
    pointercancel({ target }) {
      if (target !== held?.slider) return;
      const { slider, before, isSure } = held;
      held = null;
      slider.value = before;
      if (isSure) slider.dispatchEvent(new Event("input", { bubbles: true }));
    },
  };
  for (const [kind, take] of Object.entries(watch)) addEventListener(kind, take, true);
}
