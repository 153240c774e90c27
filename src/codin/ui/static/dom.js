// Elements are built node by node: text from agents and tools never becomes markup.

/** An element with properties, attributes (`aria-*`, `data-*`, `role`...), handlers and children. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

/** Put `children` in the place of what `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Run `work` before the next frame, once, however often it is asked for until then. */
export function batched(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    // a hidden tab gets no frames, and has to keep up too
    const later = document.hidden ? (done) => setTimeout(done, 200) : requestAnimationFrame;
    later(() => {
      waiting = false;
      work();
    });
  };
}
