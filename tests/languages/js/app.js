// The interface `same` in JavaScript; it runs on QuickJS and on StarlingMonkey, which differ in two things. Nothing is
// undefined on StarlingMonkey and null on QuickJS. An integer of 64 bits is a BigInt on StarlingMonkey; on QuickJS
// (componentize-qjs 0.4) it is a Number, not exact beyond 2^53, and a BigInt is not taken back.

const COLOURS = ['red', 'green', 'blue'];

export const same = {
  greet: (person) =>
    person.age == null ? `Grüß dich, ${person.name}.` : `Grüß dich, ${person.name} (${person.age}).`,
  backwards: (text) => [...text].reverse().join(''),
  first: (text) => [...text][0],
  letter: (letter) => letter,
  next: (colour) => COLOURS[(COLOURS.indexOf(colour) + 1) % COLOURS.length],
  others: (rights) => ({ read: !rights.read, write: !rights.write, run: !rights.run }),
  sum: (numbers) => numbers.reduce((total, number) => total + number, typeof numbers[0] === 'bigint' ? 0n : 0),
  wide: (unsigned, signed) => [unsigned, signed],
  reverse: (bytes) => Uint8Array.from(bytes).reverse(),
  swap: ([number, text]) => [text, number],
  area(figure) {
    switch (figure.tag) {
      case 'circle':
        if (figure.val < 0) throw 'a radius is not negative – ever';
        return 3 * figure.val * figure.val;
      case 'polygon':
        return figure.val.length;
      default:
        return 0;
    }
  },
  half: (number) => (number == null ? undefined : number / 2),
  later: (families) =>
    families.map(({ name, members }) => ({
      name,
      members: members
        .map((member) => ({ name: member.name, age: member.age == null ? undefined : member.age + 1 }))
        .reverse(),
    })),
  verdict: ({ tag, val }) => (tag === 'ok' ? [{ tag: 'err', val }, true] : [{ tag: 'ok', val }, false]),
  nothing() {},
};
