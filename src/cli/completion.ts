/** Completion for shells, made of the commands themselves: what there is to complete cannot differ from what there is. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Place {
  /** `/client/create`; empty for the program itself */
  readonly path: string;
  readonly commands: readonly Command[];
  readonly options: readonly Option[];
}

/** @returns a script that the shell reads at its start */
export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program, '');
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](places);
}

function placesOf(command: Command, path: string): readonly Place[] {
  const help = command.createHelp();
  const [commands, options] = [help.visibleCommands(command), help.visibleOptions(command)];
  return [{ path, commands: [...commands], options }, ...commands.flatMap((below) => placesOf(below, `${path}/${below.name()}`))];
}

/** Where the line has got to, and which words may come. A value is no command, whatever it says. */
function walk(places: readonly Place[], indent: string): string {
  const paths = places.map(({ path }) => path).filter((path) => path !== '');
  const valued = valuedOptions(places).map((option) => option.long);
  return [
    `case "$skip$word" in`,
    `  skip*) skip= ;;`,
    `  ${valued.join('|')}) skip=skip ;;`,
    `  *) case "$at/$word" in`,
    `       ${paths.join('|')}) at="$at/$word" ;;`,
    '     esac ;;',
    'esac',
  ]
    .map((line) => indent + line)
    .join('\n');
}

function valuedOptions(places: readonly Place[]): readonly Option[] {
  const byName = new Map(
    places.flatMap(({ options }) => options.filter(({ required }) => required).map((option) => [option.long, option])),
  );
  return [...byName.values()];
}

function choices(places: readonly Place[], line: (option: string, values: string) => string): string {
  return valuedOptions(places)
    .flatMap(({ long, argChoices }) => (argChoices ? [line(long ?? '', argChoices.join(' '))] : []))
    .join('\n');
}

function words(places: readonly Place[]): string {
  return places
    .map(({ path, commands, options }) => {
      const names = [...commands.map((command) => command.name()), ...argumentsOf(path), ...options.map(({ long }) => long)];
      return `    '${path}') candidates='${names.join(' ')}' ;;`;
    })
    .join('\n');
}

function argumentsOf(path: string): readonly string[] {
  return path === '/completion' ? SHELLS : [];
}

/** Without a candidate the shell completes the name of a file. */
function bashScript(places: readonly Place[]): string {
  return `_auth() {
  local at= skip= word candidates= current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
${walk(places, '    ')}
  done
  case "$at" in
${words(places)}
  esac
  if [ -n "$skip" ]; then
    candidates=
    case "$previous" in
${choices(places, (option, values) => `      ${option}) candidates='${values}' ;;`)}
    esac
  fi
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -o default -F _auth auth
`;
}

function zshScript(places: readonly Place[]): string {
  return `#compdef auth
_auth() {
  local at= skip= word candidates=
  for word in "\${(@)words[2,CURRENT-1]}"; do
${walk(places, '    ')}
  done
  case "$at" in
${words(places)}
  esac
  if [[ -n "$skip" ]]; then
    candidates=
    case "\${words[CURRENT-1]}" in
${choices(places, (option, values) => `      ${option}) candidates='${values}' ;;`)}
    esac
  fi
  if [[ -n "$candidates" ]]; then compadd -- \${=candidates}; fi
  if [[ "\${words[CURRENT]}" != -* ]]; then _files; fi
}
compdef _auth auth
`;
}

function fishScript(places: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const here = (path: string) => `complete -c auth -n ${quoted(`__auth_at '${path}'`)}`;
  const lines = places.flatMap(({ path, commands, options }) => [
    ...commands.map((command) => `${here(path)} -f -a ${quoted(command.name())} -d ${quoted(firstClause(command.description()))}`),
    ...argumentsOf(path).map((argument) => `${here(path)} -f -a ${quoted(argument)}`),
    ...options.map(({ long, required, argChoices, description }) => {
      const value = argChoices ? ` -x -a ${quoted(argChoices.join(' '))}` : required ? ' -r' : '';
      return `${here(path)} -l ${(long ?? '').slice(2)}${value} -d ${quoted(firstClause(description))}`;
    }),
  ]);
  return `function __auth_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    contains -- "$at/$word" ${places.map(({ path }) => path || '/').join(' ')}; and set at "$at/$word"
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}

function firstClause(description: string): string {
  return description.split(/[;:(]/, 1)[0]?.trim() ?? '';
}
