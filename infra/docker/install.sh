#!/bin/sh
# install.sh WHAT: a step of the Containerfile, with the versions of requirements.lock.
#   tools      into /tools, what the other steps need
#   wheels     of /src, a wheel for each program into its folder of /tools
#   imaging, torch, portal, dispatch, inference, client    into /opt/dss, as the folder /opt/dss/pins says, which is removed
#
# That folder holds all that decides what is installed, this script included: engines know a step again by what was copied before it, not by its mounts.
set -eu
what=$1
pins=/opt/dss/pins
programs="portal dispatch inference client"
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
pip() { /opt/dss/bin/python3 /tools/pip.whl/pip "$@"; }

make_tools() {
  cp /usr/share/python-wheels/pip-*.whl /tools/pip.whl
  pip install --target /tools/lib --constraint /tools/requirements.lock hatchling
  for folder in imaging torch $programs; do
    mkdir /tools/$folder
    cp /tools/install.sh /tools/contents.py /tools/$folder/
  done
  for program in $programs; do
    cp /tools/requirements.lock "/tools/$program/"
  done
  grep -E '^(numpy|simpleitk)==' /tools/requirements.lock > /tools/imaging/requirements.txt
  grep '^torch==' /tools/requirements.lock > /tools/torch/requirements.txt
}

make_wheels() {
  for program in $programs; do
    python3 /src/one_program.py "$program" /src "/one/$program"
    PYTHONPATH=/tools/lib pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "/tools/$program" "/one/$program"
  done
}

install_torch() {
  case "$TORCH_CPU" in
    "") pip install --requirement $pins/requirements.txt ;;
    *://*) pip install --no-deps --index-url "$TORCH_CPU" --requirement $pins/requirements.txt ;;
    *) pip install --no-deps --no-index --find-links "$TORCH_CPU" --requirement $pins/requirements.txt ;;
  esac
}

install_program() {
  [ "$what" = client ] && own=images,provider || own=s3
  wheel=$(echo $pins/*.whl)
  pip install --constraint $pins/requirements.lock "$wheel[$own${EXTRAS:+,$EXTRAS}]"
}

# Removes what no program uses: tests, torch's headers, and all services but S3 of the 400 that botocore describes.
remove_unused() {
  cd /opt/dss/lib/python3*/site-packages
  for package in numpy scipy sympy nibabel; do
    [ ! -d $package ] || find $package -type d -name tests -prune -exec rm -r {} +
  done
  rm -rf torch/include pydicom/data/test_files
  for folder in botocore/data/*/; do
    case "$(basename "$folder")" in
      s3 | sts | sso | sso-oidc | signin) ;;
      *) rm -rf "$folder" ;;
    esac
  done
}

case $what in
  tools) make_tools; exit ;;
  wheels) make_wheels; exit ;;
  imaging) pip install --requirement $pins/requirements.txt ;;
  torch) install_torch ;;
  *) install_program ;;
esac
remove_unused
# Not by pip, which has one process and would compile the tests, too.  torch has files for newer versions of Python; what does not compile is left.
/opt/dss/bin/python3 -m compileall -q -j 0 -x torch/testing/_internal /opt/dss/lib > /dev/null || :
/opt/dss/bin/python3 $pins/contents.py "$what" "${DEVICE:-cpu}"
rm -r $pins
