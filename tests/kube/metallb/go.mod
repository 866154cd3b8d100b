// The manifests of the MetalLB whose place ferrolb takes, as they are published. Nothing here is ours.
module ferrolb.invalid/tests/kube/metallb

go 1.26.0

require go.universe.tf/metallb v0.16.2
