/** The word of `known` that is closest to a mistyped one; undefined if none is close. */
export function suggest(typed: string, known: Iterable<string>): string | undefined {
  const maxDistance = typed.length < 4 ? 1 : 2
  let best: { word: string; distance: number } | undefined
  for (const word of known) {
    // A word whose length differs more cannot be close; this also bounds the work on long input.
    if (Math.abs(word.length - typed.length) > maxDistance) continue
    const distance = editDistance(typed, word)
    if (distance <= maxDistance && distance < word.length && (!best || distance < best.distance))
      best = { word, distance }
  }
  return best?.word
}

/** The optimal string alignment distance: insertions, deletions, substitutions and adjacent transpositions. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, index) => index)]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const at = (up: number, left: number) => (i - up === i ? row : (rows[i - up] as number[]))[j - left] as number
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(Math.min(at(1, 0) + 1, at(0, 1) + 1, at(1, 1) + same, swapped ? at(2, 2) + 1 : Number.POSITIVE_INFINITY))
    }
    rows.push(row)
  }
  return (rows[a.length] as number[])[b.length] as number
}
