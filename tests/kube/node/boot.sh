#!/bin/bash
# A node of the test cluster, from power on: boot.sh NAME DIRECTORY.
#
# Run in the node's network namespace. It joins the cgroups named in $CGROUPS, takes namespaces of its
# own for everything else, builds a root in DIRECTORY, changes into it and starts containerd, the
# kubelet and kube-proxy. It is the node's process 1: when it dies, everything on the node does.
#
# $CGROUPS         words CONTROLLER=DIRECTORY, of the hierarchies of cgroup v1
# $KUBERNETES      directory with kubelet and kube-proxy
# $CONTAINERD      directory with containerd, its shim and ctr
# $IMAGES          directory with images that the node has from the start
# $NODE_IPS        addresses of the node, with commas between
set -eu
name=$1 directory=$2

if [ -z "${BOOTED:-}" ]; then
    for cgroup in $CGROUPS; do
        echo 0 >"${cgroup#*=}/cgroup.procs"
    done
    export BOOTED=1
    exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup bash "$0" "$@"
fi

# Seen at the same place, but not to be written to.
show() {
    mount --bind "$1" "$2"
    mount -o remount,bind,ro "$2"
}

mount --make-rprivate /
root=$directory/root
mkdir -p "$root" "$directory"/{log/pods,log/containers,sysctl}
mkdir -p "$directory"/var/{lib/kubelet,lib/containerd,lib/cni,log,tmp}
mount --bind "$root" "$root"
cd "$root"
mkdir -p usr etc/alternatives dev proc sys run tmp var opt/cni/bin node kubernetes containerd images old
for link in bin sbin lib; do
    ln -sfn "usr/$link" "$link"
done
if [ -L /lib64 ]; then
    ln -sfn usr/lib64 lib64
fi

# Programs of the machine, and ours.
show /usr usr
show /etc/alternatives etc/alternatives
show /usr/lib/cni opt/cni/bin
show "$KUBERNETES" kubernetes
show "$CONTAINERD" containerd
show "$IMAGES" images

# The node's disk, which outlives it.
mount --bind "$directory/var" var
mount --bind "$directory/log" var/log
mount --bind "$directory/conf" node
ln -sfn /run var/run

for file in passwd group nsswitch.conf protocols services ld.so.cache; do
    if [ -e "/etc/$file" ]; then
        cp "/etc/$file" etc/
    fi
done
printf '127.0.0.1 localhost\n::1 localhost\n' >etc/hosts
echo "$name" >etc/hostname
echo 'nameserver 127.0.0.1' >etc/resolv.conf
mkdir -p etc/cni/net.d
cp node/10-bridge.conflist etc/cni/net.d/
hostname "$name"

mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
for cgroup in $CGROUPS; do
    controller=${cgroup%%=*}
    mkdir "sys/fs/cgroup/$controller"
    case $controller in
    systemd) options=none,name=systemd ;;
    *) options=$controller ;;
    esac
    mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/$controller"
done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p run/netns run/lock

# The kubelet sets these, and they are the whole machine's: it gets files that already say what it wants.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    key=${setting%=*}
    file=$directory/sysctl/${key//\//_}
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "proc/sys/$key"
done

pivot_root . old
umount -l /old
rmdir /old
mount --make-rshared /
cd /
exec </dev/null
export PATH=/kubernetes:/containerd:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

containerd --config /node/containerd.toml >/var/log/containerd.log 2>&1 &
for _ in $(seq 300); do
    if ctr version >/dev/null 2>&1; then
        break
    fi
    sleep 0.1
done
for image in /images/*.tar; do
    ctr --namespace k8s.io images import "$image" >>/var/log/images.log 2>&1
done
kube-proxy --config=/node/kube-proxy.yaml --hostname-override="$name" >/var/log/kube-proxy.log 2>&1 &
kubelet --config=/node/kubelet.yaml --kubeconfig=/node/kubelet.kubeconfig \
    --hostname-override="$name" --node-ip="$NODE_IPS" >/var/log/kubelet.log 2>&1 &

# Containers that lost their parent become ours, and are buried by `wait`.
while :; do
    sleep 3600 &
    wait $!
done
