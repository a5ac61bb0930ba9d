// Says how far a file is while it is made: the browser itself shows nothing of it before it comes. Without this script the page that is
// read here says the same.

/** Between two looks, milliseconds. */
const PAUSE = 1000;
/** So many looks in a row may tell nothing of the file: another gateway may answer some, and another window may have asked for a newer one. */
const LOOKS = 60;

const says = document.querySelector("#making");
let followed;

async function look() {
  const answer = await fetch(says.dataset.page);
  if (!answer.ok) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#file");
}

/** Follows the file of that name to its end. */
async function follow(name) {
  followed = name;
  for (let looks = 0; followed === name && looks < LOOKS; looks++) {
    const file = await look().catch(() => null);
    if (followed === name && file?.dataset.file === name) {
      looks = 0;
      if (says.textContent !== file.textContent) says.textContent = file.textContent;
      if ("ended" in file.dataset) return;
    }
    await new Promise((resume) => setTimeout(resume, PAUSE));
  }
  if (followed === name) says.textContent = "";
}

/** The address with a new name for the file, which is followed. */
function named(address) {
  const url = new URL(address), name = crypto.randomUUID();
  url.searchParams.set("file", name);
  follow(name);
  return url.href;
}

for (const form of document.querySelectorAll("form[data-file]")) form.addEventListener("submit", () => { form.action = named(form.action); });
for (const link of document.querySelectorAll("a[download]")) link.addEventListener("click", () => { link.href = named(link.href); });
