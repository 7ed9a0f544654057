/** Whether a key belongs to what has the focus, and is no shortcut. */
export const isTyping = (target: EventTarget | null): boolean => target instanceof HTMLElement && target.matches('input:not([type="range"], [type="checkbox"], [type="radio"]), textarea, select, [contenteditable]')
