const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["assets/create-BeDB2qCj.js","assets/objects-DGTWZvZS.js","assets/queue-CT8gWCLZ.js","assets/actions-C8C5DEOi.js","assets/button-Bnz98jGi.js","assets/library-_2Un29VT.js","assets/video-CDv5gTy5.js","assets/workers-CggnvTzx.js"])))=>i.map(i=>d[i]);
import{C as e,S as t,_ as n,b as r,c as i,d as a,f as o,g as s,h as c,i as l,l as u,m as ee,p as te,s as d,t as ne,u as re,v as f,w as ie,x as p,y as m}from"./objects-DGTWZvZS.js";var h,g;function _(e){return!g||(typeof g==`string`?e.startsWith(g):g.test(e))}function v(e,t){let n=``;if(h=void 0,t&&t.type===`click`){if(t.ctrlKey||t.metaKey||t.altKey||t.shiftKey||t.button!==0)return e;let r=t.composedPath().find(e=>e.nodeName==`A`&&e.href),i=r&&r.getAttribute(`href`);if(!r||r.origin!=location.origin||/^#/.test(i)||!/^(_?self)?$/i.test(r.target)||!_(i)||r.download)return e;h=!0,t.preventDefault(),n=r.href.replace(location.origin,``)}else t&&t.url?(h=!t.replace,n=t.url):n=location.pathname+location.search;return h===!0?history.pushState(null,``,n):h===!1&&history.replaceState(null,``,n),n}var ae=(e,t,n={})=>{e=e.split(`/`).filter(Boolean),t=(t||``).split(`/`).filter(Boolean),n.params||={};for(let r=0,i,a;r<Math.max(e.length,t.length);r++){let[,o,s,c]=(t[r]||``).match(/^(:?)(.*?)([+*?]?)$/);if(i=e[r],o||s!=i){if(!o&&i&&c==`*`){n.rest=`/`+e.slice(r).join(`/`);break}if(!o||!i&&c!=`?`&&c!=`*`)return;if(a=c==`+`||c==`*`,a?i=e.slice(r).map(decodeURIComponent).join(`/`)||void 0:i&&=decodeURIComponent(i),n.params[s]=i,s in n||(n[s]=i),a)break}}return n};function y(e){let[t,n]=o(v,e.url||location.pathname+location.search);e.scope&&(g=e.scope);let r=h===!0,i=c(()=>{let e=new URL(t,location.origin),i=e.pathname.replace(/\/+$/g,``)||`/`;return{url:t,path:i,query:Object.fromEntries(e.searchParams),route:(e,t)=>n({url:e,replace:t}),back:()=>{history.back()},forward:()=>{history.forward()},wasPush:r}},[t]);return u(()=>(addEventListener(`click`,n),addEventListener(`popstate`,n),()=>{removeEventListener(`click`,n),removeEventListener(`popstate`,n)}),[]),p(y.ctx.Provider,{value:i},e.children)}var oe=Promise.resolve();function b(e){let[t,i]=o(e=>e+1,0),{url:s,query:l,wasPush:te,path:d}=de();if(!s)throw Error(`preact-iso's <Router> must be used within a <LocationProvider>, see: https://github.com/preactjs/preact-iso#locationprovider`);let{rest:ne=d,params:re={}}=ee(ue),f=a(!1),ie=a(d),m=a(1),h=a(),g=a(),_=a(),v=a(!1),y=a();y.current=!1;let b,x,S;n(e.children).some(e=>{if(ae(ne,e.props.path,S={...e.props,path:ne,query:l,params:Object.assign({},re),rest:``}))return b=r(e,S);e.props.default&&(x=r(e,S))});let C=b||x,w=h.current&&h.current.__u&se&&h.current.__u&ce,fe=h.current&&h.current.__h,pe=c(()=>{g.current=h.current,h.current=p(ue.Provider,{value:S},C);let e=g.current&&g.current.props.children;return!e||!C||C.type!==e.type||C.props.component!==e.props.component?(m.current++,!0):!1},[s,JSON.stringify(S)]);w?(h.current.__u|=se,h.current.__u|=ce):fe&&(h.current.__h=!0);let me=g.current;return g.current=null,this.__c=(t,n)=>{y.current=!0,g.current=me,e.onLoadStart&&e.onLoadStart(s),f.current=!0;let r=m.current;t.then(()=>{r===m.current&&(g.current=null,h.current&&(n.__h&&(h.current.__h=n.__h),n.__u&ce&&(h.current.__u|=ce),n.__u&se&&(h.current.__u|=se)),oe.then(i))})},u(()=>{let t=this.__v&&this.__v.__e;y.current?!v.current&&!_.current&&(_.current=t):(!v.current&&_.current&&(_.current!==t&&_.current.remove(),_.current=null),v.current=!0,ie.current!==d&&(te&&scrollTo(0,0),e.onRouteChange&&e.onRouteChange(s),ie.current=d),e.onLoadEnd&&f.current&&e.onLoadEnd(s),f.current=!1)},[d,te,t]),pe?[p(le,{r:h,key:m.current}),p(le,{r:g,key:m.current-1})]:p(le,{r:h,key:m.current})}var se=32,ce=128,le=({r:e})=>e.current;b.Provider=y,y.ctx=m({});var ue=m({}),x=e=>p(e.component,e),de=()=>ee(y.ctx),S=()=>ee(ue),C=t.__b;t.__b=e=>{e.type&&e.type._forwarded&&e.ref&&(e.props.ref=e.ref,e.ref=null),C&&C(e)};function w(e){let t,n,r=()=>e().then(e=>n=e&&e.default||e),i=e=>{let[,i]=te(0),o=a(n);if(t||=r(),n!==void 0)return p(n,e);throw o.current||=t.then(()=>i(1)),t};return i.preload=()=>(t||=r(),t),i._forwarded=!0,i}var fe=t.__e;t.__e=(e,t,n)=>{if(e&&e.then){let r=t;for(;r=r.__;)if(r.__c&&r.__c.__c)return t.__e??(t.__c.__z=[n.__e],t.__e=n.__e,t.__k=n.__k),t.__k||=[],r.__c.__c(e,t)}fe&&fe(e,t,n)};function pe(e){return this.__c=me,this.componentDidCatch=e.onError,e.children}function me(e){e.then(()=>this.forceUpdate())}var he=(function(){let e=typeof document<`u`&&document.createElement(`link`).relList;return e&&e.supports&&e.supports(`modulepreload`)?`modulepreload`:`preload`})(),ge=function(e){return`/ui/`+e},_e={},ve=function(e){return e.pathname.endsWith(`.css`)},ye=function(e,t,n){if(t in e)return e[t];let r=n();if(!r){e[t]=void 0;return}let i=r.then(()=>{e[t]=void 0},n=>{throw e[t]=void 0,n});return e[t]=i,i},T=function(e,t,n){let r=Promise.resolve();if(t&&t.length>0){let e,i=document.querySelector(`meta[property=csp-nonce]`),a=i?.nonce||i?.getAttribute(`nonce`);function o(e){return Promise.all(e.map(e=>Promise.resolve(e).then(e=>({status:`fulfilled`,value:e}),e=>({status:`rejected`,reason:e}))))}function s(e){return import.meta.resolve?new URL(import.meta.resolve(e)):new URL(e,import.meta.url)}r=o(t.map(t=>{t=ge(t,n);let r=s(t),i=ve(r);return ye(_e,r.href,()=>{if(e===void 0){e={all:new Set,styles:new Set};let t=document.getElementsByTagName(`link`);for(let n=t.length-1;n>=0;n--){let r=t[n];e.all.add(r.href),r.rel===`stylesheet`&&e.styles.add(r.href)}}if((i?e.styles:e.all).has(r.href))return;let t=document.createElement(`link`);if(t.rel=i?`stylesheet`:he,i||(t.as=`script`),t.crossOrigin=``,t.href=r.href,a&&t.setAttribute(`nonce`,a),document.head.appendChild(t),i)return new Promise((e,n)=>{let i=a=>{t.removeEventListener(`load`,i),t.removeEventListener(`error`,i),a.type===`error`?n(Error(`Unable to preload CSS for ${r}`)):e(a)};t.addEventListener(`load`,i),t.addEventListener(`error`,i)})})}).filter(e=>e!==void 0))}function i(e){let t=new Event(`vite:preloadError`,{cancelable:!0});if(t.payload=e,window.dispatchEvent(t),!t.defaultPrevented)throw e}return r.then(t=>{for(let e of t||[])e.status===`rejected`&&i(e.reason);return e().catch(i)})},be=Symbol.for(`preact-signals`);function E(){if(j>1)j--;else{var e,t=!1;for((function(){var e=we;for(we=void 0;e!==void 0;){var t=e.S;if(t.v===e.v)for(var n=t.t;n!==void 0;n=n.x)n.i===e.i&&(n.i=t.i);e=e.o}})();A!==void 0;){var n=A;for(A=void 0,M++;n!==void 0;){var r=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&De(n))try{n.c()}catch(n){t||=(e=n,!0)}n=r}}if(M=0,j--,t)throw e}}function xe(e){if(j>0)return e();Ce=++Se,j++;try{return e()}finally{E()}}var D,O=void 0;function k(e){var t=O,n=D;O=void 0,D=void 0;try{return e()}finally{O=t,D=n}}var A=void 0,j=0,M=0,Se=0,Ce=0,we=void 0,Te=0;function Ee(e){if(O!==void 0){var t=e.n;if(t===void 0||t.t!==O)return t={i:0,S:e,p:O.s,n:void 0,t:O,e:void 0,x:void 0,r:t},O.s!==void 0&&(O.s.n=t),O.s=t,e.n=t,32&O.f&&e.S(t),t;if(t.i===-1)return t.i=0,t.n!==void 0&&(t.n.p=t.p,t.p!==void 0&&(t.p.n=t.n),t.p=O.s,t.n=void 0,O.s.n=t,O.s=t),t}}function N(e,t){this.v=e,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=t?.watched,this.Z=t?.unwatched,this.name=t?.name}N.prototype.brand=be,N.prototype.h=function(){return!0},N.prototype.S=function(e){var t=this,n=this.t;n!==e&&e.e===void 0&&(e.x=n,this.t=e,n===void 0?k(function(){var e;(e=t.W)==null||e.call(t)}):n.e=e)},N.prototype.U=function(e){var t=this;if(this.t!==void 0){var n=e.e,r=e.x;n!==void 0&&(n.x=r,e.e=void 0),r!==void 0&&(r.e=n,e.x=void 0),e===this.t&&(this.t=r,r===void 0&&k(function(){var e;(e=t.Z)==null||e.call(t)}))}},N.prototype.subscribe=function(e){var t=this;return R(function(){var n=t.value;k(function(){return e(n)})},{name:`sub`})},N.prototype.valueOf=function(){return this.value},N.prototype.toString=function(){return this.value+``},N.prototype.toJSON=function(){return this.value},N.prototype.peek=function(){var e=this;return k(function(){return e.value})},Object.defineProperty(N.prototype,"value",{get:function(){var e=Ee(this);return e!==void 0&&(e.i=this.i),this.v},set:function(e){if(e!==this.v){if(M>100)throw Error(`Cycle detected`);(function(e){j!==0&&M===0&&e.l!==Ce&&(e.l=Ce,we={S:e,v:e.v,i:e.i,o:we})})(this),this.v=e,this.i++,Te++,j++;try{for(var t=this.t;t!==void 0;t=t.x)t.t.N()}finally{E()}}}});function P(e,t){return new N(e,t)}function De(e){for(var t=e.s;t!==void 0;t=t.n)if(t.S.i!==t.i||!t.S.h()||t.S.i!==t.i)return!0;return!1}function Oe(e){for(var t=e.s;t!==void 0;t=t.n){var n=t.S.n;if(n!==void 0&&(t.r=n),t.S.n=t,t.i=-1,t.n===void 0){e.s=t;break}}}function ke(e){for(var t=e.s,n=void 0;t!==void 0;){var r=t.p;t.i===-1?(t.S.U(t),r!==void 0&&(r.n=t.n),t.n!==void 0&&(t.n.p=r)):n=t,t.S.n=t.r,t.r!==void 0&&(t.r=void 0),t=r}e.s=n}function F(e,t){N.call(this,void 0,t),this.x=e,this.s=void 0,this.g=Te-1,this.f=4}F.prototype=new N,F.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===Te))return!0;if(this.g=Te,this.f|=1,this.i>0&&!De(this))return this.f&=-2,!0;var e=O;try{Oe(this),O=this;var t=this.x();(16&this.f||this.v!==t||this.i===0)&&(this.v=t,this.f&=-17,this.i++)}catch(e){this.v=e,this.f|=16,this.i++}return O=e,ke(this),this.f&=-2,!0},F.prototype.S=function(e){if(this.t===void 0){this.f|=36;for(var t=this.s;t!==void 0;t=t.n)t.S.S(t)}N.prototype.S.call(this,e)},F.prototype.U=function(e){if(this.t!==void 0&&(N.prototype.U.call(this,e),this.t===void 0)){this.f&=-33;for(var t=this.s;t!==void 0;t=t.n)t.S.U(t)}},F.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var e=this.t;e!==void 0;e=e.x)e.t.N()}},Object.defineProperty(F.prototype,"value",{get:function(){if(1&this.f)throw Error(`Cycle detected`);var e=Ee(this);if(this.h(),e!==void 0&&(e.i=this.i),16&this.f)throw this.v;return this.v}});function I(e,t){return new F(e,t)}function Ae(e){var t=e.j;if(e.j=void 0,typeof t==`function`){j++;var n=O;O=void 0;try{t()}catch(t){throw e.f&=-2,e.f|=8,je(e),t}finally{O=n,E()}}}function je(e){for(var t=e.s;t!==void 0;t=t.n)t.S.U(t);e.x=void 0,e.s=void 0,Ae(e)}function Me(e){if(O!==this)throw Error(`Out-of-order effect`);ke(this),O=e,this.f&=-2;try{8&this.f&&je(this)}finally{E()}}function L(e,t){this.x=e,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=t?.name,D&&D.push(this)}L.prototype.c=function(){var e=this.S();try{if(8&this.f||this.x===void 0)return;var t=this.x();typeof t==`function`&&(this.j=t)}finally{e()}},L.prototype.S=function(){if(1&this.f)throw Error(`Cycle detected`);this.f|=1,this.f&=-9,Ae(this),Oe(this),j++;var e=O;return O=this,Me.bind(this,e)},L.prototype.N=function(){2&this.f||(this.f|=2,this.u=A,A=this)},L.prototype.d=function(){this.f|=8,1&this.f||je(this)},L.prototype.dispose=function(){this.d()};function R(e,t){var n=new L(e,t);try{n.c()}catch(e){throw n.d(),e}var r=n.d.bind(n);return r[Symbol.dispose]=r,r}var Ne,z,B,Pe=typeof window<`u`&&!!window.__PREACT_SIGNALS_DEVTOOLS__,Fe=[];R(function(){Ne=this.N})();function V(e,n){t[e]=n.bind(null,t[e]||function(){})}function H(e){if(B){var t=B;B=void 0,t()}B=e&&e.S()}function Ie(t){var n=this,r=t.data,i=Re(r);i.name=`ReactiveDom`,i.value=r;var a=c(function(){for(var t=n,r=n.__v;r=r.__;)if(r.__c){r.__c.__$f|=4;break}var a=I(function(){var e=i.value.value;return e===0?0:!0===e?``:e||``}),o=I(function(){return!Array.isArray(a.value)&&!e(a.value)}),s=R(function(){if(this.N=He,o.value){var e=a.value;t.__v&&t.__v.__e&&t.__v.__e.nodeType===3&&(t.__v.__e.data=e)}}),c=n.__$u.d;return n.__$u.d=function(){s(),c.call(this)},[o,a]},[]),o=a[0],s=a[1];return o.value?s.peek():s.value}Ie.displayName=`ReactiveTextNode`,Object.defineProperties(N.prototype,{constructor:{configurable:!0,value:p(s,null).constructor},type:{configurable:!0,value:Ie},props:{configurable:!0,get:function(){var e=this;return{data:{get value(){return e.value}}}}},__b:{configurable:!0,value:1}}),V(`__b`,function(e,t){if(H(),z=void 0,typeof t.type==`string`){var n,r=t.props;for(var i in r)if(i!==`children`){var a=r[i];a instanceof N&&(n||(t.__np=n={}),n[i]=a,r[i]=a.peek())}}e(t)}),V(`__r`,function(e,t){if(e(t),t.type!==s){H();var n,r=t.__c;r&&(r.__$f&=-2,(n=r.__$u)===void 0&&(r.__$u=n=function(e,t){var n;return R(function(){n=this},{name:t}),n.c=e,n}(function(e){return function(){var t;Pe&&((t=this.y)==null||t.call(this)),e.__$f|=1,e.setState({})}}(r),typeof t.type==`function`?t.type.displayName||t.type.name:``))),z=r,H(n)}}),V(`__e`,function(e,t,n,r){H(),z=void 0,e(t,n,r)}),V(`diffed`,function(e,t){H(),z=void 0;var n;if(typeof t.type==`string`&&(n=t.__e)){var r=t.__np,i=t.props,a=n.U;if(a)for(var o in a){var s=a[o];s===void 0||r&&o in r||(s.d(),a[o]=void 0)}if(r)for(var c in a||(a={},n.U=a),r){var l=a[c],u=r[c];l===void 0?(l=Le(n,c,u,i),a[c]=l):l.o(u,i)}}e(t)});function Le(e,t,n,r){var i=t in e&&e.ownerSVGElement===void 0,a=P(n);return{o:function(e,t){a.value=e,r=t},d:R(function(){this.N=He;var n=a.value.value;r[t]!==n&&(r[t]=n,i?e[t]=n:n!=null&&(!1!==n||t[4]===`-`)?e.setAttribute(t,n):e.removeAttribute(t))})}}V(`unmount`,function(e,t){if(typeof t.type==`string`){var n=t.__e;if(n){var r=n.U;if(r)for(var i in n.U=void 0,r){var a=r[i];a&&a.d()}}var o=t.__np;if(o){var s=t.props;for(var c in o)s[c]=o[c]}t.__np=void 0}else{var l=t.__c;if(l){l.__$f|=8;var u=l.__$u;u&&(l.__$u=void 0,u.d())}}e(t)}),V(`__h`,function(e,t,n,r){r<3&&(t.__$f|=2),e(t,n,r)}),ie.prototype.shouldComponentUpdate=function(e,t){if(this.__R)return!0;var n=this.__$u,r=n&&n.s!==void 0;for(var i in t)return!0;if(this.__f||typeof this.u==`boolean`&&!0===this.u){var a=2&this.__$f;if(!(r||a||4&this.__$f)||1&this.__$f)return!0}else if(!(r||4&this.__$f)||3&this.__$f)return!0;for(var o in e)if(o!==`__source`&&e[o]!==this.props[o])return!0;for(var s in this.props)if(!(s in e))return!0;return!1};function Re(e,t){return c(function(){return P(e,t)},[])}function ze(e,t){var n=a(e);return n.current=e,z.__$f|=4,c(function(){return I(function(){return n.current()},t)},[])}var Be=function(e){queueMicrotask(function(){queueMicrotask(e)})};function Ve(){xe(function(){for(var e;e=Fe.shift();)Ne.call(e)})}function He(){Fe.push(this)===1&&(t.requestAnimationFrame||Be)(Ve)}var U=(e,t,n)=>`${e} ${e===1?t:n}`,Ue=e=>e.length>60?`${e.slice(0,58)} …`:e,We={out_of_memory:`A smaller size needs less memory. Retry helps where a larger GPU has joined.`},W={farm:`framepack-farm`,away:`The farm does not answer, trying again.`,refused:e=>`The farm refused with status ${e} and gave no reason.`,loading:`Loading …`,main:`Main`,skip:`Skip to the content`,notHere:`There is nothing at this address.`,toCreate:`Make a video`,nav:{create:`Create`,queue:`Queue`,library:`Library`,workers:`Workers`},signIn:{title:`Sign in`,text:`This farm asks for a key. Its operator makes one with “framefarm keys new NAME”.`,key:`API key`,act:`Sign in`,out:`Sign out`,as:e=>`Signed in as ${e}`},theme:{title:`Theme`,system:`As the system`,light:`Light`,dark:`Dark`},status:{queued:`waits`,in_progress:`runs`,paused:`is paused`,completed:`is ready`,failed:`has failed`,cancelled:`was cancelled`},act:{pause:`Pause`,resume:`Resume`,cancel:`Cancel`,edit:`Edit`,retry:`Retry`,delete:`Delete`,open:`Open`,save:`Save`,close:`Close`,copy:`Copy`,copied:`Copied`,undo:`Undo`,select:`Select`,star:`Star`,download:`Download`,done:`Done`,more:`More`},count:{sections:e=>U(e,`section`,`sections`),videos:e=>U(e,`video`,`videos`)},time:{left:e=>`about ${e} left`},done:{cancelled:(e,t)=>t?`“${Ue(t)}” was cancelled.`:`${e} videos were cancelled.`,deleted:e=>e===1?`The video was deleted.`:`${e} videos were deleted.`,refused:(e,t)=>e===1?t:`${e} were refused: ${t}`,saved:`Saved.`},progress:{name:`Progress`,section:(e,t)=>`section ${e} of ${t}`,step:(e,t)=>t?`step ${e} of ${t}`:`step ${e}`,stage:{encode:`reads the prompt and the picture`,section:`makes a section`,decode:`decodes`,finish:`joins the clips`},percent:e=>`${e} %`},delete:{title:e=>`Delete ${U(e,`video`,`videos`)}?`,more:e=>`and ${e} more`,text:`The farm erases everything that it keeps of them. This cannot be undone.`},failed:{at:(e,t)=>`Stopped at section ${e}: ${t}`,cancelled:(e,t)=>e?`Cancelled. ${e} of ${t} sections are kept.`:`Cancelled before it began.`,advice:e=>We[e]??`Retry goes on after the last finished section.`},library:{search:`Search`,show:`Show`,kinds:{all:`All`,starred:`Starred`,failed:`Failed`},model:`Model`,anyModel:`Any model`,length:`Length`,lengths:{"":`Any length`,short:`Under 3 s`,middle:`3 to 10 s`,long:`10 s and more`},order:`Order`,newest:`Newest first`,oldest:`Oldest first`,none:`No video has ended yet. What you make appears here.`,noneFound:`No video is like this.`,compare:`Compare`,compareHint:`Select two to nine finished videos.`,download:`Download`},player:{play:`Play`,pause:`Pause`,time:`Time`},workers:{none:`No worker is here. Videos wait until one comes; nothing is lost.`,waits:(e,t)=>`${U(e,`video waits`,`videos wait`)} for ${t}.`,lend:`Lend a GPU`,lendHow:`Type this on a machine with a GPU that reaches this one. It works for the farm until you stop it.`,join:e=>`framefarm join ${e}:6379`,pace:e=>`${e<10?e.toFixed(1):Math.round(e)} s a section`,hours:e=>`Works ${e} only.`,outsideHours:`outside its hours`,somebody:`a video of somebody else`,states:{idle:`waits for work`,busy:`works`,paused:`is paused`,draining:`drains`,drained:`is drained`},drain:`Drain`,order:{pause:`Pause`,resume:`Resume`,drain:`Drain`},sure:{pause:e=>`Pause ${e}?`,resume:e=>`Let ${e} work again?`,drain:e=>`Drain ${e}?`},explain:{pause:`It stops at its next step, keeps that step, and frees the memory of its GPU. Another worker goes on with the video.`,resume:`It takes the next work that waits.`,drain:`It keeps its last finished step and its process ends. No other starts in its place until you resume it.`}},queue:{running:`Running`,waiting:`Waiting`,paused:`Paused`,pauseAll:`Pause all mine`,cancelWaiting:`Cancel all waiting`,resumeAll:`Resume all`,filter:`Filter`,none:`Nothing waits. Drop a photo.`,noneFound:`No waiting video has these letters.`,priority:`Priority`,priorityHint:`From -10 to 10; higher ones go first.`,name:`Name`,prompt:`Prompt`,seed:e=>`seed ${e}`,seeds:e=>`${e} seeds`,next:`is next`,before:e=>`${e} before it`,waitsFor:e=>`waits for ${e}`,kept:(e,t)=>e?`${e} of ${t} sections are kept`:`not begun yet`,times:e=>`×${e}`,openBatch:e=>`Show the ${e} videos`,closeBatch:`Hide the videos`,place:e=>`place ${e}`,pick:e=>`Select ${Ue(e)}`,pickAll:e=>`All ${e}`,picked:e=>`${e} selected`,sureCancel:e=>`Cancel ${U(e,`waiting video`,`waiting videos`)}?`,sureCancelText:`The running video goes on. What was made of the others is kept until you delete them.`,dispatcherAway:e=>`The farm hands out no work at the moment: ${e}. Nothing is lost.`},create:{image:`Start image`,prompt:`Prompt`,generate:`Generate`,added:`It is in the queue.`,whatHappens:`What happens?`}},G=class extends Error{status;code;errors;retryAfterS;constructor(e,t,n,r=[],i=null){super(n),this.status=e,this.code=t,this.errors=r,this.retryAfterS=i}of(e){return this.errors.find(t=>t.field===e||t.field.startsWith(`${e}.`))?.message}},K=P(!1),q=P(!1),Ge=[1,2,4,8,15],Ke=`/v1/session`,qe=[0,502,503,504];async function J(e,{method:t=`GET`,body:n,signal:r,insist:i=t===`GET`}={}){let a=new Headers({Accept:`application/json`}),o=n instanceof FormData||n instanceof Blob;n&&!o&&a.set(`Content-Type`,`application/json`),t===`POST`&&i&&a.set(`Idempotency-Key`,Qe());let s={method:t,headers:a,credentials:`same-origin`};n&&(s.body=o?n:JSON.stringify(n)),r&&(s.signal=r);for(let t=0;;t++)try{return await Ye(e,s)}catch(n){if(!(n instanceof G))throw n;if(n.status===401&&e!==Ke){q.value=!0,await Xe(r);continue}if(!i||!qe.includes(n.status))throw n;await $e(Ge[Math.min(t,Ge.length-1)]*1e3,r)}}var Je=(e,t,n)=>J(e,{method:`POST`,body:t,insist:!0,...n&&{signal:n}});async function Ye(e,t){let n;try{n=await fetch(e,t)}catch(e){throw t.signal?.aborted?e:(K.value=!0,new G(0,`away`,W.away))}if(K.value=qe.includes(n.status),!n.ok)throw await Ze(n);return n.status===204?void 0:await n.json()}function Xe(e){return new Promise((t,n)=>{e?.addEventListener(`abort`,()=>n(e.reason),{once:!0});let r=q.subscribe(e=>{e||queueMicrotask(()=>(r(),t()))})})}async function Ze(e){let t=Number.parseInt(e.headers.get(`Retry-After`)??``,10),n=await e.json().catch(()=>({})),r=typeof n.detail==`string`?n.detail:W.refused(e.status);return new G(e.status,n.code??`http_${e.status}`,r,n.errors??[],Number.isNaN(t)?null:t)}var Qe=()=>Array.from(crypto.getRandomValues(new Uint8Array(16)),e=>e.toString(16).padStart(2,`0`)).join(``);function $e(e,t){return new Promise((n,r)=>{t?.throwIfAborted();let i=setTimeout(n,e);t?.addEventListener(`abort`,()=>(clearTimeout(i),r(t.reason)),{once:!0})})}var et={check:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-check"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20 6 9 17l-5-5" />
</svg>
`,columns:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-columns-3"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M9 3v18" />
  <path d="M15 3v18" />
</svg>
`,copy:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-copy"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="14" height="14" x="8" y="8" rx="2" ry="2" />
  <path d="M4 16c-1.1 0-2-.9-2-2V4c0-1.1.9-2 2-2h10c1.1 0 2 .9 2 2" />
</svg>
`,cpu:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-cpu"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 20v2" />
  <path d="M12 2v2" />
  <path d="M17 20v2" />
  <path d="M17 2v2" />
  <path d="M2 12h2" />
  <path d="M2 17h2" />
  <path d="M2 7h2" />
  <path d="M20 12h2" />
  <path d="M20 17h2" />
  <path d="M20 7h2" />
  <path d="M7 20v2" />
  <path d="M7 2v2" />
  <rect x="4" y="4" width="16" height="16" rx="2" />
  <rect x="8" y="8" width="8" height="8" rx="1" />
</svg>
`,down:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-down"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m6 9 6 6 6-6" />
</svg>
`,download:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-download"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 15V3" />
  <path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4" />
  <path d="m7 10 5 5 5-5" />
</svg>
`,edit:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pencil"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21.174 6.812a1 1 0 0 0-3.986-3.987L3.842 16.174a2 2 0 0 0-.5.83l-1.321 4.352a.5.5 0 0 0 .623.622l4.353-1.32a2 2 0 0 0 .83-.497z" />
  <path d="m15 5 4 4" />
</svg>
`,film:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-film"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M7 3v18" />
  <path d="M3 7.5h4" />
  <path d="M3 12h18" />
  <path d="M3 16.5h4" />
  <path d="M17 3v18" />
  <path d="M17 7.5h4" />
  <path d="M17 16.5h4" />
</svg>
`,first:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-arrow-up-to-line"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 3h14" />
  <path d="m18 13-6-6-6 6" />
  <path d="M12 7v14" />
</svg>
`,grip:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-grip-vertical"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="9" cy="12" r="1" />
  <circle cx="9" cy="5" r="1" />
  <circle cx="9" cy="19" r="1" />
  <circle cx="15" cy="12" r="1" />
  <circle cx="15" cy="5" r="1" />
  <circle cx="15" cy="19" r="1" />
</svg>
`,key:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-key-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M2.586 17.414A2 2 0 0 0 2 18.828V21a1 1 0 0 0 1 1h3a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h1a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h.172a2 2 0 0 0 1.414-.586l.814-.814a6.5 6.5 0 1 0-4-4z" />
  <circle cx="16.5" cy="7.5" r=".5" fill="currentColor" />
</svg>
`,last:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-arrow-down-to-line"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 17V3" />
  <path d="m6 11 6 6 6-6" />
  <path d="M19 21H5" />
</svg>
`,left:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-left"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m15 18-6-6 6-6" />
</svg>
`,list:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-list-video"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21 5H3" />
  <path d="M10 12H3" />
  <path d="M10 19H3" />
  <path d="M15 12.003a1 1 0 0 1 1.517-.859l4.997 2.997a1 1 0 0 1 0 1.718l-4.997 2.997a1 1 0 0 1-1.517-.86z" />
</svg>
`,monitor:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-monitor"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="20" height="14" x="2" y="3" rx="2" />
  <line x1="8" x2="16" y1="21" y2="21" />
  <line x1="12" x2="12" y1="17" y2="21" />
</svg>
`,moon:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-moon"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20.985 12.486a9 9 0 1 1-9.473-9.472c.405-.022.617.46.402.803a6 6 0 0 0 8.268 8.268c.344-.215.825-.004.803.401" />
</svg>
`,pause:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pause"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect x="14" y="3" width="5" height="18" rx="1" />
  <rect x="5" y="3" width="5" height="18" rx="1" />
</svg>
`,play:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-play"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 5a2 2 0 0 1 3.008-1.728l11.997 6.998a2 2 0 0 1 .003 3.458l-12 7A2 2 0 0 1 5 19z" />
</svg>
`,plus:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sparkles"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.017 2.814a1 1 0 0 1 1.966 0l1.051 5.558a2 2 0 0 0 1.594 1.594l5.558 1.051a1 1 0 0 1 0 1.966l-5.558 1.051a2 2 0 0 0-1.594 1.594l-1.051 5.558a1 1 0 0 1-1.966 0l-1.051-5.558a2 2 0 0 0-1.594-1.594l-5.558-1.051a1 1 0 0 1 0-1.966l5.558-1.051a2 2 0 0 0 1.594-1.594z" />
  <path d="M20 2v4" />
  <path d="M22 4h-4" />
  <circle cx="4" cy="20" r="2" />
</svg>
`,retry:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-rotate-ccw"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M3 12a9 9 0 1 0 9-9 9.75 9.75 0 0 0-6.74 2.74L3 8" />
  <path d="M3 3v5h5" />
</svg>
`,right:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-right"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m9 18 6-6-6-6" />
</svg>
`,search:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-search"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m21 21-4.34-4.34" />
  <circle cx="11" cy="11" r="8" />
</svg>
`,star:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-star"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.525 2.295a.53.53 0 0 1 .95 0l2.31 4.679a2.123 2.123 0 0 0 1.595 1.16l5.166.756a.53.53 0 0 1 .294.904l-3.736 3.638a2.123 2.123 0 0 0-.611 1.878l.882 5.14a.53.53 0 0 1-.771.56l-4.618-2.428a2.122 2.122 0 0 0-1.973 0L6.396 21.01a.53.53 0 0 1-.77-.56l.881-5.139a2.122 2.122 0 0 0-.611-1.879L2.16 9.795a.53.53 0 0 1 .294-.906l5.165-.755a2.122 2.122 0 0 0 1.597-1.16z" />
</svg>
`,sun:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sun"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="12" r="4" />
  <path d="M12 2v2" />
  <path d="M12 20v2" />
  <path d="m4.93 4.93 1.41 1.41" />
  <path d="m17.66 17.66 1.41 1.41" />
  <path d="M2 12h2" />
  <path d="M20 12h2" />
  <path d="m6.34 17.66-1.41 1.41" />
  <path d="m19.07 4.93-1.41 1.41" />
</svg>
`,trash:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-trash-2"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M10 11v6" />
  <path d="M14 11v6" />
  <path d="M19 6v14a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V6" />
  <path d="M3 6h18" />
  <path d="M8 6V4a2 2 0 0 1 2-2h4a2 2 0 0 1 2 2v2" />
</svg>
`,user:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-user-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="8" r="5" />
  <path d="M20 21a8 8 0 0 0-16 0" />
</svg>
`,x:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-x"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M18 6 6 18" />
  <path d="m6 6 12 12" />
</svg>
`},Y=({name:e})=>d(`span`,{class:`icon`,"aria-hidden":`true`,dangerouslySetInnerHTML:{__html:et[e].replace(/<!--.*?-->/s,``)}}),tt={hello:null,farm:{dispatcher:`ok`,store:`ok`},videos:new Map,queue:[],workers:new Map,previews:new Map};function nt(e,t){switch(t.kind){case`hello`:return{...e,hello:t.data,workers:new Map};case`reset`:return{...e,queue:[],previews:new Map};case`video`:return at(e,t.data);case`progress`:return ot(e,t.data);case`queue`:return st(e,t.data.ids,t.data.positions);case`gone`:return t.data.object===`worker`?{...e,workers:ct(e.workers,t.data.id)}:{...e,videos:ct(e.videos,t.data.id),previews:ct(e.previews,t.data.id)};case`worker`:return{...e,workers:new Map(e.workers).set(t.data.id,t.data)};case`farm`:return{...e,farm:t.data};case`preview`:return{...e,previews:new Map(e.previews).set(t.data.id,t.data)}}}function rt(e,t,n=!1){let r=new Map(n?[...e.videos].filter(([,e])=>!l(e)):e.videos);for(let n of t)r.set(n.id,it(e.videos.get(n.id),n));return{...e,videos:r}}function it(e,t){return t.request||!e?.request?t:{...t,request:{...e.request,prompt:t.prompt,name:t.name}}}var at=(e,t)=>({...e,videos:new Map(e.videos).set(t.id,it(e.videos.get(t.id),t)),previews:l(t)?e.previews:ct(e.previews,t.id)});function ot(e,{id:t,...n}){let r=e.videos.get(t);return r?{...e,videos:new Map(e.videos).set(t,{...r,...n})}:e}function st(e,t,n){let r=new Map(e.videos);return t.forEach((e,t)=>{let[i,a]=[r.get(e),n[t]??null];i&&i.queue_position!==a&&r.set(e,{...i,queue_position:a})}),{...e,queue:t,videos:r}}function ct(e,t){if(!e.has(t))return e;let n=new Map(e);return n.delete(t),n}function lt(e){let t=new Map(e.queue.map((e,t)=>[e,t])),n=n=>t.get(n.id)??e.queue.length+n.created_at;return[...e.videos.values()].filter(e=>e.status===`queued`).sort((e,t)=>n(e)-n(t))}var ut=(e,t)=>[...e.videos.values()].filter(e=>e.status===t).sort((e,t)=>e.created_at-t.created_at),X=P(tt),dt=P(!1),ft=e=>{X.value=nt(X.value,e)},pt=(e,t=!1)=>{X.value=rt(X.value,e,t)},mt=()=>{X.value=tt,dt.value=!1},Z=I(()=>ut(X.value,`in_progress`)),ht=I(()=>lt(X.value)),gt=I(()=>ut(X.value,`paused`)),_t=I(()=>[...X.value.workers.values()].sort((e,t)=>e.id.localeCompare(t.id))),vt=I(()=>Z.value.length+ht.value.length+gt.value.length),yt=I(()=>{let e=_t.value.filter(e=>e.state===`idle`||e.state===`busy`).length;return _t.value.length?`${e}/${_t.value.length}`:``}),bt=I(()=>[[Z.value[0]&&`${Z.value[0].progress} %`,ht.value.length&&`${ht.value.length} wait`].filter(Boolean).join(` · `),`framepack-farm`].filter(Boolean).join(` – `)),xt=P(null),St;function Ct(e,t={}){clearTimeout(St),xt.value={text:e,...t},St=setTimeout(()=>xt.value=null,t.isBad?1e4:5e3)}function wt(){let e=xt.value;return d(`div`,{class:`toasts`,role:`status`,children:e&&d(`div`,{class:`toast ${e.isBad?`bad`:``}`,children:[d(`span`,{children:e.text}),e.undo&&d(`button`,{class:`quiet`,onClick:()=>{xt.value=null,e.undo?.()},children:W.act.undo})]})})}function Tt({title:e,onClose:t,isFirm:n=!1,children:r}){let o=a(null),s=re();return i(()=>{let e=document.activeElement;return o.current?.showModal(),()=>e instanceof HTMLElement&&e.focus()},[]),d(`dialog`,{ref:o,"aria-labelledby":s,onClose:t,onCancel:e=>n&&e.preventDefault(),onClick:e=>!n&&e.target===e.currentTarget&&e.currentTarget.close(),children:d(`div`,{class:`column`,children:[d(`h2`,{id:s,children:e}),r]})})}async function Et(e){let t=X.value.hello?.owner,{owner:n}=await J(`/v1/session`,{method:`POST`,body:{key:e},insist:!1});t!==n&&mt(),q.value=!1}async function Dt(){await J(`/v1/session`,{method:`DELETE`}),mt(),q.value=!0}async function Ot(){let e=new URLSearchParams(location.hash.slice(1)).get(`key`);e&&(history.replaceState(history.state,``,location.pathname+location.search),await Et(e).catch(()=>q.value=!0))}function kt(){let e=Re(``);return d(Tt,{title:W.signIn.title,isFirm:!0,children:[d(`p`,{class:`soft`,children:W.signIn.text}),d(`form`,{class:`column`,onSubmit:async t=>{t.preventDefault(),e.value=``;try{await Et(`${new FormData(t.currentTarget).get(`key`)}`.trim())}catch(t){if(!(t instanceof G))throw t;e.value=t.message}},children:[d(`label`,{class:`field`,children:[W.signIn.key,d(`input`,{name:`key`,type:`password`,autocomplete:`off`,required:!0,"aria-invalid":e.value?!0:void 0}),e.value&&d(`span`,{class:`bad`,role:`alert`,children:e.value})]}),d(`button`,{class:`primary`,children:W.signIn.act})]})]})}var At=[`system`,`light`,`dark`],jt=`framefarm-theme`,Mt=localStorage.getItem(jt),Q=P(At.find(e=>e===Mt)??`system`);R(()=>{localStorage.setItem(jt,Q.value),document.documentElement.style.colorScheme=Q.value===`system`?`light dark`:Q.value});var Nt=()=>{Q.value=At[(At.indexOf(Q.value)+1)%At.length]},Pt=w(()=>T(()=>import(`./create-BeDB2qCj.js`),__vite__mapDeps([0,1]))),Ft=w(()=>T(()=>import(`./queue-CT8gWCLZ.js`),__vite__mapDeps([2,3,1,4]))),It=w(()=>T(()=>import(`./library-_2Un29VT.js`),__vite__mapDeps([5,1,3,4]))),Lt=w(()=>T(()=>import(`./video-CDv5gTy5.js`),__vite__mapDeps([6,1]))),Rt=w(()=>T(()=>import(`./workers-CggnvTzx.js`),__vite__mapDeps([7,1,3]))),zt=`local`,Bt={system:`monitor`,light:`sun`,dark:`moon`};function Vt(){return d(y,{scope:`/ui/`,children:[d(`a`,{class:`skip`,href:`#main`,children:W.skip}),d(Ht,{}),K.value&&d(`p`,{class:`away`,role:`status`,children:W.away}),d(`main`,{id:`main`,tabIndex:-1,children:d(pe,{children:d(b,{children:[d(x,{path:`/ui/`,component:Pt}),d(x,{path:`/ui/queue`,component:Ft}),d(x,{path:`/ui/library`,component:It}),d(x,{path:`/ui/videos/:id`,component:Lt}),d(x,{path:`/ui/workers`,component:Rt}),d(x,{default:!0,component:Gt})]})})}),d(wt,{}),q.value&&d(kt,{})]})}function Ht(){return d(`header`,{class:`top`,children:[d(`a`,{class:`brand`,href:`/ui/`,children:[d(`img`,{src:`/ui/mark.svg`,alt:``,width:`24`,height:`24`}),d(`span`,{children:W.farm})]}),d(`nav`,{class:`tabs`,"aria-label":W.main,children:[d(Wt,{to:`/ui/`,icon:`plus`,text:W.nav.create}),d(Wt,{to:`/ui/queue`,icon:`list`,text:W.nav.queue,count:vt.value?`${vt.value}`:``}),d(Wt,{to:`/ui/library`,icon:`film`,text:W.nav.library}),d(Wt,{to:`/ui/workers`,icon:`cpu`,text:W.nav.workers,count:yt.value})]}),d(`div`,{class:`top-end`,children:[d(Ut,{}),d(`button`,{class:`quiet square`,onClick:Nt,"aria-label":`${W.theme.title}: ${W.theme[Q.value]}`,title:W.theme[Q.value],children:d(Y,{name:Bt[Q.value]})})]})]})}function Ut(){let e=X.value.hello?.owner;return!e||e===zt?null:d(`details`,{class:`owner`,children:[d(`summary`,{children:[d(Y,{name:`user`}),e]}),d(`div`,{class:`card column`,children:[d(`p`,{children:W.signIn.as(e)}),d(`button`,{type:`button`,onClick:()=>void Dt(),children:W.signIn.out})]})]})}function Wt({to:e,icon:t,text:n,count:r=``}){let{path:i}=de();return d(`a`,{href:e,"aria-current":i===e?`page`:void 0,children:[d(Y,{name:t}),n,d(`span`,{class:`count`,"aria-hidden":`true`,children:r})]})}var Gt=()=>d(`section`,{class:`empty`,children:[d(`p`,{children:W.notHere}),d(`a`,{class:`button`,href:`/ui/`,children:W.toCreate})]}),Kt=[`hello`,`reset`,`video`,`progress`,`queue`,`gone`,`worker`,`farm`,`preview`],qt=20,Jt=50,Yt=[],$=null,Xt;function Zt(){R(()=>void(document.title=bt.value)),R(()=>{q.value?$t():document.hidden||Qt()}),document.addEventListener(`visibilitychange`,()=>{clearTimeout(Xt),document.hidden?Xt=setTimeout(tn,qt*1e3):Qt()})}function Qt(){if($||q.value)return;let e=new URLSearchParams(Yt.map(e=>[`preview`,e])),t=new EventSource(`/v1/events${e.size?`?${e}`:``}`);$=t;for(let e of Kt)t.addEventListener(e,t=>{K.value=!1,ft({kind:e,data:JSON.parse(t.data)}),(e===`reset`||e===`hello`&&!dt.value)&&nn()});t.onerror=()=>{t===$&&(K.value=!0,t.readyState===EventSource.CLOSED&&en())}}function $t(){$?.close(),$=null}async function en(){$t(),await $e(2e3),await nn().catch(()=>void 0),Qt()}function tn(){$t(),nn().finally(()=>{document.hidden&&(Xt=setTimeout(tn,Jt*1e3))})}async function nn(){pt((await Promise.all(ne.map(e=>rn(`/v1/videos?limit=100&order=asc&status=${e}`)))).flat(),!0),dt.value=!0}async function rn(e){let t=[];for(let n=``;n!==null;){let r=await J(`${e}${n&&`&after=${n}`}`);t.push(...r.data),n=r.has_more?r.last_id:null}return t}Ot().then(Zt),f(d(Vt,{}),document.getElementById(`page`));export{ze as _,gt as a,de as b,ft as c,Y as d,G as f,W as g,$e as h,pt as i,_t as l,Je as m,Ct as n,ht as o,J as p,dt as r,Z as s,Tt as t,X as u,Re as v,S as x,P as y};