# SPDX-License-Identifier: GPL-2.0-or-later
# What this QEMU has: PC machines, virtio-fs, virtio-9p to compare it with, and little else.
CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_9P=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VHOST_USER_FS=y
