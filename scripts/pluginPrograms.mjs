// What the tests and benches of plugins need beside the programs of setup.mjs, for `setUp({ extra, packages })`.

/** Programs, and the Debian package that brings each. */
export const programs = {
  'ansible-playbook': 'ansible-core',
  git: 'git',
  openssl: 'openssl',
  scp: 'openssh-client',
}

/** Debian packages without a program of their own, and a file of each by which it is known to be there. */
export const packages = {
  'ansible-mitogen': '/usr/lib/python3/dist-packages/ansible/plugins/strategy/mitogen_linear.py',
}
