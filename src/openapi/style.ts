/** How the pages look. In a file of its own: the page's policy allows this text by its hash, and no other style. */
export const STYLE = `
:root{color-scheme:light dark;--fg:#1c2024;--bg:#fff;--soft:#f3f4f6;--line:#d9dce1;--dim:#5c6370;--link:#0b57c2;--get:#0a6e4d;--post:#0b57c2;--put:#8a5a00;--delete:#b3261e}
@media (prefers-color-scheme:dark){:root{--fg:#e4e6ea;--bg:#16181c;--soft:#22252b;--line:#3a3f48;--dim:#9aa2af;--link:#8ab8ff;--get:#5fd3a5;--post:#8ab8ff;--put:#e5b567;--delete:#ff8a80}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{margin:0;color:var(--fg);background:var(--bg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;display:grid;grid-template-columns:20rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow-y:auto;padding:1rem;border-right:1px solid var(--line);font-size:.875rem}
nav ul{list-style:none;margin:0;padding:0}
nav li a{display:flex;gap:.5rem;padding:.2rem 0;color:inherit;text-decoration:none;overflow-wrap:anywhere}
nav li a:hover span:last-child{text-decoration:underline}
nav .tag{margin:1rem 0 .25rem;font-weight:600}
main{padding:1rem 2rem 4rem;max-width:56rem;min-width:0}
a{color:var(--link)}
h1{margin:.5rem 0}h1 small{font-weight:400;color:var(--dim);font-size:1rem}
h2{margin:3rem 0 .25rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}
h3{margin:0 0 .5rem;font-size:1.1rem;overflow-wrap:anywhere}
h4{margin:1.25rem 0 .25rem;font-size:.9rem;color:var(--dim)}
section{margin:1.5rem 0;padding:1rem;border:1px solid var(--line);border-radius:.5rem}
section:target{border-color:var(--link)}
code,pre{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{overflow-wrap:anywhere}
pre{margin:.25rem 0 .75rem;padding:.75rem;background:var(--soft);border-radius:.375rem;overflow-x:auto}
dl{margin:.25rem 0}dt{margin-top:.4rem}dd{margin:0 0 0 1.25rem;color:var(--dim)}
.type,.access,.caption{color:var(--dim);font-size:.875rem}
.caption,.media,.title{margin:.5rem 0 0}.title{font-weight:600;font-size:.875rem}
.method{display:inline-block;flex:none;width:3.9rem;font:700 .7rem/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-align:center;border:1px solid currentcolor;border-radius:.25rem;align-self:start}
.get{color:var(--get)}.post{color:var(--post)}.put,.patch{color:var(--put)}.delete{color:var(--delete)}
summary{cursor:pointer;padding:.2rem 0}
details[open]{margin-bottom:.75rem}
.status{font-weight:700}.s2{color:var(--get)}.s3{color:var(--dim)}.s4,.s5{color:var(--delete)}
@media (max-width:52rem){body{display:block}nav{position:static;height:auto;border-right:0;border-bottom:1px solid var(--line)}main{padding:1rem .75rem 3rem}section{padding:.75rem}}
@media print{nav{display:none}body{display:block}}
`;
