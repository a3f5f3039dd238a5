# SPDX-License-Identifier: GPL-2.0-or-later
# The tables of ACPI name functions of CXL's that this version has no stand-ins for, and these name those of more.
CONFIG_PXB=y
CONFIG_CXL=y
CONFIG_CXL_MEM_DEVICE=y
CONFIG_PCIE_PORT=y
