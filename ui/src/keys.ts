/** Single keys. They never act while somebody types, and can be switched off. */
import { useEffect, useRef } from "preact/hooks";
import { keysOn } from "./settings";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const layers: { current: Keys }[] = [];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = event.target as HTMLElement;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable) return;
  const isNamed = event.key.length > 1;
  if (!isNamed && !keysOn.value) return;
  for (let at = layers.length - 1; at >= 0; at--) {
    const act = layers[at]!.current[event.key];
    if (!act) continue;
    // Enter and the space bar belong to the button or the link that has the focus.
    if (/^(BUTTON|A|SUMMARY)$/.test(target.tagName) && /^(Enter| )$/.test(event.key)) return;
    event.preventDefault();
    act(event);
    return;
  }
});

/** Keys of a component, as long as it is on the page; later components come first. */
export function useKeys(keys: Keys): void {
  const current = useRef(keys);
  current.current = keys;
  useEffect(() => {
    layers.push(current);
    return () => {
      layers.splice(layers.indexOf(current), 1);
    };
  }, []);
}
