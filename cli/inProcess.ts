/**
 * The whole system, which the command line loads only where it must: for `start`, for a temporary node, and for a command
 * that reads the home's files or needs the schemas. The build makes a bundle of its own of it.
 */
export { openHome } from '../actors/home.ts'
export { createNode } from '../actors/node.ts'
export { readBorrowed } from '../actors/ssh/borrowedFiles.ts'
export { dynamicInventory } from '../actors/ssh/inventory.ts'
export { sshConfigOf, writeSshConfig } from '../actors/ssh/sshConfig.ts'
