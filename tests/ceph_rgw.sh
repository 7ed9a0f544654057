#!/bin/bash
# One Ceph object gateway for tests: a monitor, one OSD in a file, radosgw; no manager, no systemd.
#   ceph_rgw.sh FOLDER PORT      PORT for S3, on RGW_HOST; PORT+1 and PORT+2 for the monitor; keys from AK and SK.
# In the foreground; to stop it, end its process group.
set -u
folder=$1 port=$2 conf=$1/ceph.conf
mkdir -p "$folder"/{mon,osd,run}
monitor="[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]"
fsid=$(cat /proc/sys/kernel/random/uuid)
cat > "$conf" <<CONF
[global]
fsid = $fsid
mon host = $monitor
mon initial members = a
run dir = $folder/run
admin socket = $folder/run/\$name.\$pid.asok
keyring = $folder/keyring
log file = $folder/\$name.log
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd objectstore = bluestore
bluestore block size = ${OSD_BYTES:-8589934592}
osd memory target = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon_max_pg_per_osd = 1000
mon data avail warn = 1
mon data avail crit = 1
[mon.a]
mon data = $folder/mon
[osd.0]
osd data = $folder/osd
[client.admin]
rgw frontends = beast endpoint=${RGW_HOST:-127.0.0.1}:$port tcp_nodelay=1
CONF
ceph-authtool --create-keyring "$folder/keyring"
ceph-authtool "$folder/keyring" --gen-key -n mon. --cap mon 'allow *'
ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
monmaptool --create --clobber --fsid "$fsid" --addv a "$monitor" "$folder/monmap"
ceph-mon -c "$conf" --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
ceph-mon -c "$conf" -i a -f &
osd=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph -c "$conf" osd new "$osd"
timeout 60 ceph -c "$conf" auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' >> "$folder/keyring"
ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd"
ceph-osd -c "$conf" -i 0 -f &
for _ in $(seq 120); do
  timeout 10 ceph -c "$conf" osd stat | grep -q '1 up' && break
  sleep 0.5
done
timeout 120 radosgw-admin -c "$conf" user create --uid=app --display-name=app --access-key="$AK" --secret-key="$SK"
radosgw -c "$conf" -n client.admin --keyring "$folder/keyring" -f &
wait
