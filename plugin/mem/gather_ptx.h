/* SPDX-License-Identifier: BSD-3-Clause */
/* Made by scripts/make-gather-ptx from gather.cu; do not edit. */
#ifndef DEVMEM_GATHER_PTX_H
#define DEVMEM_GATHER_PTX_H

/* clang-format off */
#define GATHER_PTX_SOURCES "e92cadddac27ba8bff828e976fc1144cfc4bd2aaf58dfce18f04a5e954574a9a"

#define GATHER_PTX \
	".version 6.0\n" \
	".target sm_70\n" \
	".address_size 64\n" \
	".visible .entry devmem_gather(\n" \
	".param .u64 devmem_gather_param_0,\n" \
	".param .u64 devmem_gather_param_1\n" \
	")\n" \
	"{\n" \
	".reg .pred %p<53>;\n" \
	".reg .b16 %rs<4>;\n" \
	".reg .b32 %r<124>;\n" \
	".reg .b64 %rd<108>;\n" \
	".shared .align 8 .b8 _ZZ13devmem_gatherE1s[4096];\n" \
	"ld.param.u64 %rd30, [devmem_gather_param_0];\n" \
	"cvta.to.global.u64 %rd2, %rd30;\n" \
	"mov.u32 %r56, %ctaid.x;\n" \
	"mul.wide.s32 %rd32, %r56, 24;\n" \
	"add.s64 %rd33, %rd2, %rd32;\n" \
	"ld.global.u64 %rd4, [%rd33];\n" \
	"ld.global.u32 %r1, [%rd33+8];\n" \
	"ld.global.u16 %rs1, [%rd33+12];\n" \
	"mov.u32 %r2, %tid.x;\n" \
	"shl.b32 %r3, %r2, 4;\n" \
	"cvt.u32.u64 %r57, %rd4;\n" \
	"and.b32 %r58, %r57, 127;\n" \
	"sub.s32 %r106, %r3, %r58;\n" \
	"cvt.u32.u16 %r5, %rs1;\n" \
	"setp.ge.u32 %p5, %r2, %r5;\n" \
	"mov.u64 %rd100, _ZZ13devmem_gatherE1s;\n" \
	"@%p5 bra LBB0_2;\n" \
	"ld.param.u64 %rd31, [devmem_gather_param_1];\n" \
	"cvta.to.global.u64 %rd1, %rd31;\n" \
	"cvt.s64.s32 %rd3, %r56;\n" \
	"mul.lo.s64 %rd34, %rd3, 24;\n" \
	"add.s64 %rd35, %rd2, %rd34;\n" \
	"ld.global.u32 %r59, [%rd35+16];\n" \
	"add.s32 %r60, %r59, %r2;\n" \
	"mul.wide.u32 %rd36, %r60, 16;\n" \
	"add.s64 %rd37, %rd1, %rd36;\n" \
	"mul.wide.u32 %rd38, %r2, 16;\n" \
	"add.s64 %rd40, %rd100, %rd38;\n" \
	"ld.global.u64 %rd41, [%rd37+8];\n" \
	"st.shared.u64 [%rd40+8], %rd41;\n" \
	"ld.global.u64 %rd42, [%rd37];\n" \
	"st.shared.u64 [%rd40], %rd42;\n" \
	"LBB0_2:\n" \
	"bar.sync 0;\n" \
	"and.b32 %r6, %r3, 496;\n" \
	"sub.s32 %r61, %r106, %r6;\n" \
	"setp.ge.s32 %p6, %r61, %r1;\n" \
	"@%p6 bra LBB0_54;\n" \
	"mov.u64 %rd43, 0;\n" \
	"mov.u32 %r62, 0;\n" \
	"mov.pred %p7, 0;\n" \
	"setp.lt.u16 %p11, %rs1, 2;\n" \
	"bra.uni LBB0_4;\n" \
	"LBB0_53:\n" \
	"add.s32 %r106, %r106, 4096;\n" \
	"sub.s32 %r105, %r106, %r6;\n" \
	"setp.lt.s32 %p50, %r105, %r1;\n" \
	"@%p50 bra LBB0_4;\n" \
	"bra.uni LBB0_54;\n" \
	"LBB0_4:\n" \
	"max.s32 %r113, %r106, 0;\n" \
	"max.s32 %r63, %r106, -16;\n" \
	"add.s32 %r64, %r63, 16;\n" \
	"min.u32 %r9, %r64, %r1;\n" \
	"setp.le.u32 %p8, %r9, %r113;\n" \
	"mov.pred %p51, %p7;\n" \
	"mov.pred %p52, %p7;\n" \
	"mov.u32 %r117, %r62;\n" \
	"mov.u32 %r118, %r62;\n" \
	"mov.u32 %r122, %r62;\n" \
	"mov.u64 %rd105, %rd43;\n" \
	"mov.u64 %rd106, %rd43;\n" \
	"mov.u64 %rd107, %rd43;\n" \
	"@%p8 bra LBB0_27;\n" \
	"mov.u32 %r109, 0;\n" \
	"@%p11 bra LBB0_8;\n" \
	"mov.u32 %r109, 0;\n" \
	"mov.u32 %r107, %r5;\n" \
	"LBB0_7:\n" \
	"add.s32 %r67, %r109, %r107;\n" \
	"shr.u32 %r68, %r67, 1;\n" \
	"mul.wide.u32 %rd45, %r68, 16;\n" \
	"add.s64 %rd47, %rd100, %rd45;\n" \
	"ld.shared.u32 %r69, [%rd47+8];\n" \
	"setp.gt.u32 %p13, %r69, %r113;\n" \
	"selp.b32 %r109, %r109, %r68, %p13;\n" \
	"selp.b32 %r107, %r68, %r107, %p13;\n" \
	"sub.s32 %r70, %r107, %r109;\n" \
	"setp.gt.u32 %p14, %r70, 1;\n" \
	"@%p14 bra LBB0_7;\n" \
	"LBB0_8:\n" \
	"setp.gt.s32 %p9, %r106, -1;\n" \
	"setp.lt.s32 %p10, %r106, 0;\n" \
	"cvt.s64.s32 %rd44, %r106;\n" \
	"add.s64 %rd105, %rd4, %rd44;\n" \
	"sub.s32 %r122, %r113, %r106;\n" \
	"sub.s32 %r118, %r9, %r106;\n" \
	"sub.s32 %r12, %r9, %r113;\n" \
	"setp.ne.s32 %p12, %r12, 16;\n" \
	"and.pred %p52, %p10, %p12;\n" \
	"and.pred %p51, %p9, %p12;\n" \
	"@%p12 bra LBB0_14;\n" \
	"add.s32 %r18, %r109, 1;\n" \
	"setp.eq.s32 %p16, %r18, %r5;\n" \
	"@%p16 bra LBB0_11;\n" \
	"mul.wide.u32 %rd48, %r18, 16;\n" \
	"add.s64 %rd50, %rd100, %rd48;\n" \
	"ld.shared.u32 %r71, [%rd50+8];\n" \
	"setp.lt.u32 %p17, %r71, %r9;\n" \
	"@%p17 bra LBB0_14;\n" \
	"bra.uni LBB0_11;\n" \
	"LBB0_14:\n" \
	"mov.u32 %r114, 0;\n" \
	"@%p11 bra LBB0_17;\n" \
	"mov.u32 %r114, 0;\n" \
	"mov.u32 %r110, %r5;\n" \
	"LBB0_16:\n" \
	"add.s32 %r74, %r114, %r110;\n" \
	"shr.u32 %r75, %r74, 1;\n" \
	"mul.wide.u32 %rd51, %r75, 16;\n" \
	"add.s64 %rd53, %rd100, %rd51;\n" \
	"ld.shared.u32 %r76, [%rd53+8];\n" \
	"setp.gt.u32 %p19, %r76, %r113;\n" \
	"selp.b32 %r114, %r114, %r75, %p19;\n" \
	"selp.b32 %r110, %r75, %r110, %p19;\n" \
	"sub.s32 %r77, %r110, %r114;\n" \
	"setp.gt.u32 %p20, %r77, 1;\n" \
	"@%p20 bra LBB0_16;\n" \
	"LBB0_17:\n" \
	"mov.u64 %rd107, 0;\n" \
	"mov.u64 %rd106, %rd107;\n" \
	"bra.uni LBB0_18;\n" \
	"LBB0_24:\n" \
	"add.s32 %r82, %r37, -64;\n" \
	"shl.b64 %rd64, %rd18, %r82;\n" \
	"or.b64 %rd106, %rd64, %rd106;\n" \
	"LBB0_25:\n" \
	"add.s32 %r113, %r113, 1;\n" \
	"setp.ne.s32 %p24, %r113, %r9;\n" \
	"@%p24 bra LBB0_18;\n" \
	"bra.uni LBB0_26;\n" \
	"LBB0_18:\n" \
	"sub.s32 %r29, %r113, %r106;\n" \
	"add.s32 %r115, %r114, 1;\n" \
	"max.u32 %r31, %r5, %r115;\n" \
	"add.s32 %r114, %r31, -1;\n" \
	"LBB0_19:\n" \
	"setp.eq.s32 %p21, %r31, %r115;\n" \
	"@%p21 bra LBB0_22;\n" \
	"mul.wide.u32 %rd55, %r115, 16;\n" \
	"add.s64 %rd57, %rd100, %rd55;\n" \
	"ld.shared.u32 %r78, [%rd57+8];\n" \
	"setp.le.u32 %p22, %r78, %r113;\n" \
	"add.s32 %r115, %r115, 1;\n" \
	"@%p22 bra LBB0_19;\n" \
	"add.s32 %r114, %r115, -2;\n" \
	"LBB0_22:\n" \
	"mul.wide.u32 %rd59, %r114, 16;\n" \
	"add.s64 %rd61, %rd100, %rd59;\n" \
	"ld.shared.u64 %rd62, [%rd61];\n" \
	"ld.shared.u32 %r80, [%rd61+8];\n" \
	"sub.s32 %r81, %r113, %r80;\n" \
	"cvt.u64.u32 %rd63, %r81;\n" \
	"add.s64 %rd58, %rd62, %rd63;\n" \
	"ld.global.cg.u8 %r79, [%rd58];\n" \
	"cvt.u64.u32 %rd18, %r79;\n" \
	"setp.gt.u32 %p23, %r29, 7;\n" \
	"shl.b32 %r37, %r29, 3;\n" \
	"@%p23 bra LBB0_24;\n" \
	"shl.b64 %rd65, %rd18, %r37;\n" \
	"or.b64 %rd107, %rd65, %rd107;\n" \
	"bra.uni LBB0_25;\n" \
	"LBB0_26:\n" \
	"setp.eq.s32 %p25, %r12, 16;\n" \
	"selp.u32 %r117, 1, 0, %p25;\n" \
	"LBB0_27:\n" \
	"setp.gt.u32 %p30, %r118, %r122;\n" \
	"and.pred %p31, %p52, %p30;\n" \
	"@!%p31 bra LBB0_39;\n" \
	"bra.uni LBB0_28;\n" \
	"LBB0_28:\n" \
	"mov.u32 %r120, %r122;\n" \
	"bra.uni LBB0_29;\n" \
	"LBB0_35:\n" \
	"cvt.u32.u64 %r96, %rd27;\n" \
	"st.global.u32 [%rd26], %r96;\n" \
	"LBB0_38:\n" \
	"membar.sys;\n" \
	"add.s32 %r120, %r46, %r120;\n" \
	"setp.gt.u32 %p38, %r118, %r120;\n" \
	"@%p38 bra LBB0_29;\n" \
	"bra.uni LBB0_39;\n" \
	"LBB0_29:\n" \
	"setp.eq.s32 %p32, %r120, 0;\n" \
	"neg.s32 %r91, %r120;\n" \
	"and.b32 %r92, %r120, %r91;\n" \
	"selp.b32 %r121, 8, %r92, %p32;\n" \
	"sub.s32 %r45, %r118, %r120;\n" \
	"LBB0_30:\n" \
	"mov.u32 %r46, %r121;\n" \
	"setp.gt.u32 %p33, %r46, %r45;\n" \
	"shr.u32 %r121, %r46, 1;\n" \
	"@%p33 bra LBB0_30;\n" \
	"cvt.u64.u32 %rd83, %r120;\n" \
	"add.s64 %rd26, %rd105, %rd83;\n" \
	"setp.lt.u32 %p34, %r120, 8;\n" \
	"shl.b32 %r93, %r120, 3;\n" \
	"add.s32 %r94, %r93, -64;\n" \
	"selp.b32 %r95, %r93, %r94, %p34;\n" \
	"selp.b64 %rd84, %rd107, %rd106, %p34;\n" \
	"shr.u64 %rd27, %rd84, %r95;\n" \
	"setp.eq.s32 %p35, %r46, 2;\n" \
	"@%p35 bra LBB0_36;\n" \
	"setp.eq.s32 %p36, %r46, 4;\n" \
	"@%p36 bra LBB0_35;\n" \
	"setp.ne.s32 %p37, %r46, 8;\n" \
	"@%p37 bra LBB0_37;\n" \
	"st.global.u64 [%rd26], %rd27;\n" \
	"bra.uni LBB0_38;\n" \
	"LBB0_36:\n" \
	"cvt.u16.u64 %rs2, %rd27;\n" \
	"st.global.u16 [%rd26], %rs2;\n" \
	"bra.uni LBB0_38;\n" \
	"LBB0_37:\n" \
	"cvt.u32.u64 %r97, %rd27;\n" \
	"st.global.u8 [%rd26], %r97;\n" \
	"bra.uni LBB0_38;\n" \
	"LBB0_39:\n" \
	"bar.warp.sync -1;\n" \
	"setp.eq.s32 %p39, %r117, 0;\n" \
	"@%p39 bra LBB0_41;\n" \
	"st.global.v2.u64 [%rd105], {%rd107, %rd106};\n" \
	"LBB0_41:\n" \
	"vote.sync.any.pred %p40, %p51, -1;\n" \
	"@!%p40 bra LBB0_53;\n" \
	"bra.uni LBB0_42;\n" \
	"LBB0_42:\n" \
	"membar.sys;\n" \
	"bar.warp.sync -1;\n" \
	"and.pred %p42, %p51, %p30;\n" \
	"@!%p42 bra LBB0_53;\n" \
	"bra.uni LBB0_43;\n" \
	"LBB0_49:\n" \
	"cvt.u32.u64 %r103, %rd29;\n" \
	"st.global.u32 [%rd28], %r103;\n" \
	"LBB0_52:\n" \
	"membar.sys;\n" \
	"add.s32 %r122, %r52, %r122;\n" \
	"setp.gt.u32 %p49, %r118, %r122;\n" \
	"@%p49 bra LBB0_43;\n" \
	"bra.uni LBB0_53;\n" \
	"LBB0_43:\n" \
	"setp.eq.s32 %p43, %r122, 0;\n" \
	"neg.s32 %r98, %r122;\n" \
	"and.b32 %r99, %r122, %r98;\n" \
	"selp.b32 %r123, 8, %r99, %p43;\n" \
	"sub.s32 %r51, %r118, %r122;\n" \
	"LBB0_44:\n" \
	"mov.u32 %r52, %r123;\n" \
	"setp.gt.u32 %p44, %r52, %r51;\n" \
	"shr.u32 %r123, %r52, 1;\n" \
	"@%p44 bra LBB0_44;\n" \
	"cvt.u64.u32 %rd93, %r122;\n" \
	"add.s64 %rd28, %rd105, %rd93;\n" \
	"setp.lt.u32 %p45, %r122, 8;\n" \
	"shl.b32 %r100, %r122, 3;\n" \
	"add.s32 %r101, %r100, -64;\n" \
	"selp.b32 %r102, %r100, %r101, %p45;\n" \
	"selp.b64 %rd94, %rd107, %rd106, %p45;\n" \
	"shr.u64 %rd29, %rd94, %r102;\n" \
	"setp.eq.s32 %p46, %r52, 2;\n" \
	"@%p46 bra LBB0_50;\n" \
	"setp.eq.s32 %p47, %r52, 4;\n" \
	"@%p47 bra LBB0_49;\n" \
	"setp.ne.s32 %p48, %r52, 8;\n" \
	"@%p48 bra LBB0_51;\n" \
	"st.global.u64 [%rd28], %rd29;\n" \
	"bra.uni LBB0_52;\n" \
	"LBB0_50:\n" \
	"cvt.u16.u64 %rs3, %rd29;\n" \
	"st.global.u16 [%rd28], %rs3;\n" \
	"bra.uni LBB0_52;\n" \
	"LBB0_51:\n" \
	"cvt.u32.u64 %r104, %rd29;\n" \
	"st.global.u8 [%rd28], %r104;\n" \
	"bra.uni LBB0_52;\n" \
	"LBB0_11:\n" \
	"mul.wide.u32 %rd69, %r109, 16;\n" \
	"add.s64 %rd71, %rd100, %rd69;\n" \
	"ld.shared.u64 %rd72, [%rd71];\n" \
	"ld.shared.u32 %r84, [%rd71+8];\n" \
	"sub.s32 %r85, %r113, %r84;\n" \
	"cvt.u64.u32 %rd73, %r85;\n" \
	"add.s64 %rd74, %rd72, %rd73;\n" \
	"cvt.u32.u64 %r19, %rd74;\n" \
	"and.b32 %r20, %r19, 15;\n" \
	"and.b64 %rd68, %rd74, -16;\n" \
	"ld.global.cg.v2.u64 {%rd107, %rd106}, [%rd68];\n" \
	"setp.eq.s32 %p26, %r20, 0;\n" \
	"mov.u32 %r117, 1;\n" \
	"@%p26 bra LBB0_27;\n" \
	"add.s64 %rd77, %rd68, 16;\n" \
	"ld.global.cg.v2.u64 {%rd75, %rd76}, [%rd77];\n" \
	"setp.lt.u32 %p27, %r20, 8;\n" \
	"selp.b64 %rd107, %rd107, %rd106, %p27;\n" \
	"selp.b64 %rd106, %rd106, %rd75, %p27;\n" \
	"shl.b32 %r87, %r19, 3;\n" \
	"and.b32 %r21, %r87, 56;\n" \
	"setp.eq.s32 %p28, %r21, 0;\n" \
	"@%p28 bra LBB0_27;\n" \
	"selp.b64 %rd78, %rd75, %rd76, %p27;\n" \
	"shr.u64 %rd79, %rd107, %r21;\n" \
	"mov.u32 %r89, 64;\n" \
	"sub.s32 %r90, %r89, %r21;\n" \
	"shl.b64 %rd80, %rd106, %r90;\n" \
	"or.b64 %rd107, %rd80, %rd79;\n" \
	"shr.u64 %rd81, %rd106, %r21;\n" \
	"shl.b64 %rd82, %rd78, %r90;\n" \
	"or.b64 %rd106, %rd81, %rd82;\n" \
	"bra.uni LBB0_27;\n" \
	"LBB0_54:\n" \
	"ret;\n" \
	"}\n"
/* clang-format on */

#endif
