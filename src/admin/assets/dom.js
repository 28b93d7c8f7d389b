// The page's elements. What comes from the server becomes text, never markup.

export const id = (name) => document.getElementById(name);

export function text(element, value) {
  const now = String(value);
  if (element.textContent !== now) element.textContent = now;
}

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Brings a list to as many children as there are items, and fills each.
export function fill(parent, items, create, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, at) => {
    if (!parent.children[at]) parent.append(create());
    update(parent.children[at], item);
  });
}

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}
