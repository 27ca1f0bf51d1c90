# The environment of all recipes, whatever the caller has exported for other projects.

# Some settings of Ansible stay: those that change the output only, and those that the docs name.
ANSIBLE_KEPT := ANSIBLE_ARGS ANSIBLE_STRATEGY ANSIBLE_VERBOSITY ANSIBLE_FORCE_COLOR ANSIBLE_NOCOLOR ANSIBLE_LOG_PATH
unexport $(filter-out $(ANSIBLE_KEPT),$(filter ANSIBLE_%,$(.VARIABLES)))
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS PYTHONSAFEPATH PYTHONOPTIMIZE VIRTUAL_ENV CONDA_PREFIX CDPATH BASH_ENV
unexport PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV UV_PYTHON UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT
unexport GIT_DIR GIT_WORK_TREE
# Ansible requires a locale of UTF-8, and Debian always has this one.
export LC_ALL := C.UTF-8
# Local AWS is on this machine, whatever proxy is exported. Programs read one of the two first.
comma := ,
upper := $(or $(NO_PROXY),$(no_proxy))
lower := $(or $(no_proxy),$(NO_PROXY))
export NO_PROXY := $(if $(upper),$(upper)$(comma))127.0.0.1,localhost
export no_proxy := $(if $(lower),$(lower)$(comma))127.0.0.1,localhost
