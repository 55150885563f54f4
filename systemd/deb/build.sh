#!/usr/bin/env bash
# Builds streamgmm_VERSION_ARCHITECTURE.deb for the Debian that this runs on: the program with a Python environment of
# its own, its units, manual and completions. Needs python3-pip, python3-venv and gcc; pip fetches the libraries.
#
#   systemd/deb/build.sh [FOLDER [OPTION OF dpkg-deb ...]]     FOLDER: where the package is put (default: dist)
set -euo pipefail
umask 022

here="$(cd "$(dirname "$0")" && pwd)"
project="$(cd "$here/../.." && pwd)"
target="$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)"
# Debian's own interpreter: the package depends on it, whatever else is first on the path.
python=/usr/bin/python3
extras="mqtt,web"
home=/usr/lib/streamgmm

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
root="$work/root"
unset PYTHONPATH PYTHONHOME

# A copy, so that what a build leaves behind does not lie in the project.
mkdir "$work/source"
(cd "$project" && tar -c --exclude=__pycache__ --exclude='*.so' --exclude='*.egg-info' \
  LICENSE README.md docs pyproject.toml setup.py streamgmm systemd) | tar -x -C "$work/source"

# The environment. Only its interpreter stays in bin/: the scripts there name the folder in which they were made.
"$python" -m venv --without-pip "$root$home"
"$python" -m pip --python "$root$home/bin/python3" install --quiet --no-compile --root-user-action=ignore \
  "$work/source[$extras]"
rm -r "$root$home/include"
find "$root$home/bin" ! -name 'python*' ! -type d -delete
sed -i '/^command = /d' "$root$home/pyvenv.cfg"
find "$root$home/lib" -type d -name tests -prune -exec rm -rf {} + # those of the libraries
# Compiled here, and never again: nothing is written below /usr later, and so nothing stays when it is removed.
"$python" -m compileall -q --invalidation-mode unchecked-hash -s "$root" "$root$home/lib"

version="$("$root$home/bin/python3" -I -c 'import streamgmm; print(streamgmm.__version__)')"
minor="$("$python" -c 'import sys; print(sys.version_info.minor)')"

install -D /dev/stdin "$root/usr/bin/streamgmm" <<END
#!/bin/sh
exec $home/bin/python3 -I -m streamgmm "\$@"
END
install -d "$root/usr/share"
cp -r "$root$home"/share/{man,bash-completion} "$root/usr/share/"
install -D -m 644 -t "$root/usr/share/zsh/vendor-completions" "$root$home/share/zsh/site-functions/_streamgmm"
rm -r "$root$home/share"
gzip -9n "$root/usr/share/man/man1/streamgmm.1"

# Not the unit of users, which needs settings in each home: `streamgmm service install --user` writes both.
units="$root/usr/lib/systemd/system"
install -D -m 644 -t "$units" "$project"/systemd/streamgmm.{service,socket}
sed -i 's|^ExecStart=/opt/streamgmm/bin/streamgmm|ExecStart=/usr/bin/streamgmm|' "$units/streamgmm.service"
# The same settings as `streamgmm service install` writes.
install -d "$root/etc/streamgmm"
"$root$home/bin/python3" -I -c 'from streamgmm.service.installation import config_text
from streamgmm.service.place import SYSTEM
print(config_text(SYSTEM), end="")' >"$root/etc/streamgmm/config.yaml"

doc="$root/usr/share/doc/streamgmm"
install -d "$doc"
{ cat "$project/LICENSE" && printf '\nSounds that come with it:\n\n' && cat "$project/streamgmm/world/credits.md" \
  "$project/streamgmm/model/esc10-credits.txt" &&
  printf '\nThe licences of the Python libraries are in %s/lib, in the folders *.dist-info.\n' "$home"; } >"$doc/copyright"
gzip -9nc "$project/CHANGELOG.md" >"$doc/changelog.gz"

install -d "$root/DEBIAN"
install -m 755 "$here"/{postinst,prerm,postrm} "$root/DEBIAN/"
echo /etc/streamgmm/config.yaml >"$root/DEBIAN/conffiles"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" \
  -e "s/@MINOR@/$minor/" -e "s/@NEXT@/$((minor + 1))/" \
  -e "s/@SIZE_KIB@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" "$here/control" >"$root/DEBIAN/control"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

dpkg-deb --root-owner-group "${@:2}" --build "$root" "$target"
